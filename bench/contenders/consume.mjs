// A check by rate-limiter-flexible with any of its stores: a denial is a rejection with its result.

import { RateLimiterRes } from 'rate-limiter-flexible';

/** Whether the limiter admits the id. */
export async function consume(limiter, id) {
  try {
    await limiter.consume(id);
    return true;
  } catch (denied) {
    if (denied instanceof RateLimiterRes) return false;
    throw denied;
  }
}
