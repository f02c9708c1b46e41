import { withRateLimit } from '@huntaze/rate-limit';
import { parseChat, type Chat } from '@/lib/ai/chat';
import { bodyText } from '@/lib/body';

export const runtime = 'nodejs';

/** The longest message, in characters of three bytes, and what is around it. Read before the limiter is asked: bounded. */
const MAX_BYTES = 16_384;

/** The model's stand-in: whatever is paid for by the call comes after the limiter. */
const answer = withRateLimit<Request, [Chat]>(
  (_request, { message }) => Response.json({ answer: `You said: ${message}` }),
  { id: (_request, { creatorId }) => creatorId, plan: (_request, { plan }) => plan },
);

export async function POST(request: Request): Promise<Response> {
  const body = await bodyText(request, MAX_BYTES);
  if (body === undefined) {
    const error = `body must be at most ${MAX_BYTES} bytes long; shorten it`;
    return Response.json({ field: 'body', error }, { status: 413 });
  }
  const chat = parseChat(body);
  // What cannot be answered takes nothing from the quota.
  return 'error' in chat ? Response.json(chat, { status: 400 }) : answer(request, chat);
}
