import { type CreatorId, resetCreatorRateLimit } from '@huntaze/rate-limit';
import { jsonResponse, quotaErrorResponse, errorResponse } from '@/lib/admin/json-responses';
import { readBody } from '@/lib/request-body';
import { operatorRoute } from '@/lib/admin/operator-route';

/** Resets a creator's quota: `{ "creatorId": … }`. */
export const POST = operatorRoute(async (request) => {
  const creatorId = idIn((await readBody(request)) ?? '');
  if (creatorId === undefined) return errorResponse(400, 'ERR_INVALID_ARG_VALUE', 'Send JSON with a creatorId.');
  try {
    await resetCreatorRateLimit(creatorId);
    return jsonResponse({ creatorId: String(creatorId), reset: true });
  } catch (error) {
    return quotaErrorResponse(error);
  }
});

function idIn(body: string): CreatorId | undefined {
  try {
    return (JSON.parse(body) as { creatorId?: CreatorId } | null)?.creatorId;
  } catch {
    return undefined;
  }
}
