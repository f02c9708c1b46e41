// A check by rate-limiter-flexible, whichever its store: a denial is a rejection with its result.

import { RateLimiterRes } from 'rate-limiter-flexible';

/** Whether the limiter lets the id through. */
export async function consume(limiter, id) {
  try {
    await limiter.consume(id);
    return true;
  } catch (denied) {
    if (denied instanceof RateLimiterRes) return false;
    throw denied;
  }
}
