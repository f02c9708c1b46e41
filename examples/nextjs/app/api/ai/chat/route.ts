import { withRateLimit } from '@huntaze/rate-limit';
import { parseChat, type Chat } from '@/lib/ai/chat';
import { readBody } from '@/lib/request-body';

export const runtime = 'nodejs';

/**
 * The longest message, with three bytes for each character and the rest of the body. It is read before the check, so it
 * is bounded.
 */
const MAX_BYTES = 16_384;

/** An application calls its model here, behind the limiter: the check comes before anything that costs money. */
const respond = withRateLimit<Request, [Chat]>(
  (_request, { message }) => Response.json({ answer: `You said: ${message}` }),
  { id: (_request, { creatorId }) => creatorId, plan: (_request, { plan }) => plan },
);

export async function POST(request: Request): Promise<Response> {
  const body = await readBody(request, MAX_BYTES);
  if (body === undefined) {
    const error = `body must be at most ${MAX_BYTES} bytes long; shorten it`;
    return Response.json({ field: 'body', error }, { status: 413 });
  }
  const chat = parseChat(body);
  // An invalid request takes nothing from the quota.
  return 'error' in chat ? Response.json(chat, { status: 400 }) : respond(request, chat);
}
