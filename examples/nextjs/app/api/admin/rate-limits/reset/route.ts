import { type CreatorId, resetCreatorRateLimit } from '@huntaze/rate-limit';
import { answer, quotaError, refusal } from '@/lib/admin/json-responses';
import { bodyText } from '@/lib/request-body';
import { operatorRoute } from '@/lib/admin/operator-route';

/** Resets a creator's quota: `{ "creatorId": … }`. */
export const POST = operatorRoute(async (request) => {
  const creatorId = idIn((await bodyText(request)) ?? '');
  if (creatorId === undefined) return refusal(400, 'ERR_INVALID_ARG_VALUE', 'Send JSON with a creatorId.');
  try {
    await resetCreatorRateLimit(creatorId);
    return answer({ creatorId: String(creatorId), reset: true });
  } catch (error) {
    return quotaError(error);
  }
});

function idIn(body: string): CreatorId | undefined {
  try {
    return (JSON.parse(body) as { creatorId?: CreatorId } | null)?.creatorId;
  } catch {
    return undefined;
  }
}
