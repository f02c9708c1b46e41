// This package over Redis or a Redis Cluster, as an application uses it.

import { RateLimiter, RateLimitError } from '../../index.js';

/** @param through 'check', where a denial is a thrown RateLimitError, or 'limit' */
export async function open({ port, database, limit, windowMs, denyCacheMs, cluster, through = 'check' }) {
  const limiter = new RateLimiter({
    name: 'bench',
    limit,
    windowMs,
    ...(denyCacheMs !== undefined && { denyCacheMs }),
    ...(port !== undefined && { redis: { host: '127.0.0.1', port, database: database ?? 0, cluster } }),
    // A decision without Redis must end the measurement instead of speeding it up.
    onStoreError: 'throw',
    timeoutMs: 5000,
  });
  // Without a listener, each anomaly would be logged.
  limiter.onAnomaly(() => {});
  const checks = {
    async check(id) {
      try {
        await limiter.check(id);
        return true;
      } catch (error) {
        if (error instanceof RateLimitError) return false;
        throw error;
      }
    },
    async limit(id) {
      return (await limiter.limit(id)).allowed;
    },
  };
  return { check: checks[through], close: () => limiter.close() };
}
