import { withRateLimit } from '@huntaze/rate-limit';
import { parseChat, type Chat } from '@/lib/ai/chat';

export const runtime = 'nodejs';

/** The model's stand-in: whatever is paid for by the call comes after the limiter. */
const answer = withRateLimit<Request, [Chat]>(
  (_request, { message }) => Response.json({ answer: `You said: ${message}` }),
  { id: (_request, { creatorId }) => creatorId, plan: (_request, { plan }) => plan },
);

export async function POST(request: Request): Promise<Response> {
  const chat = parseChat(await request.text());
  // What cannot be answered takes nothing from the quota.
  return 'error' in chat ? Response.json(chat, { status: 400 }) : answer(request, chat);
}
