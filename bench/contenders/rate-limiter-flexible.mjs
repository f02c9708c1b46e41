// rate-limiter-flexible on ioredis: a fixed window that begins with an id's first request.

import { RateLimiterRedis } from 'rate-limiter-flexible';
import { consume } from './consume.mjs';
import { connect } from './ioredis.mjs';

/** @param inMemoryBlock denials are answered from memory until the window ends (`inMemoryBlockOnConsumed`) */
export async function open({ port, database, cluster, limit, windowMs, inMemoryBlock = false }) {
  const redis = await connect({ port, database, cluster });
  const limiter = new RateLimiterRedis({
    storeClient: redis,
    points: limit,
    duration: windowMs / 1000,
    ...(inMemoryBlock && { inMemoryBlockOnConsumed: limit }),
  });
  return {
    check: (id) => consume(limiter, id),
    close: () => redis.disconnect(),
  };
}
