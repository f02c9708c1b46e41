import { type CreatorPlan, getRateLimitStatus } from '@huntaze/rate-limit';
import { jsonResponse, quotaErrorResponse } from '@/lib/admin/json-responses';
import type { Quota } from '@/lib/admin/dashboard-data';
import { operatorRoute } from '@/lib/admin/operator-route';

/** The status of a creator in the store: `?creatorId=…&plan=…`. Takes nothing from the quota. */
export const GET = operatorRoute(async ({ nextUrl: { searchParams } }) => {
  const creatorId = searchParams.get('creatorId') ?? '';
  const plan = (searchParams.get('plan') ?? 'pro') as CreatorPlan;
  try {
    // The package validates the id and the plan, and its errors say what is wrong.
    const { limit, remaining, reset } = await getRateLimitStatus(creatorId, plan);
    const resetsInMs = Math.max(reset - Date.now(), 0);
    return jsonResponse({ creatorId, plan, limit, used: limit - remaining, remaining, resetsInMs } satisfies Quota);
  } catch (error) {
    return quotaErrorResponse(error);
  }
});
