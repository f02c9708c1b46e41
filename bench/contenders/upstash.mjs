// @upstash/ratelimit, made for Redis over HTTP, on ioredis: an approximate window, weighted from two fixed ones.

import { createHash } from 'node:crypto';
import { Ratelimit } from '@upstash/ratelimit';
import { connect } from './ioredis.mjs';

/** @param ephemeralCache denials are answered from memory until the fixed window ends */
export async function open({ port, database, limit, windowMs, ephemeralCache = false }) {
  const redis = await connect({ port, database });
  const limiter = new Ratelimit({
    redis: adapted(redis),
    limiter: Ratelimit.slidingWindow(limit, `${windowMs} ms`),
    ephemeralCache: ephemeralCache ? new Map() : false,
    analytics: false,
    // No timer for each check: it costs throughput, and no other contender on ioredis has one.
    timeout: 0,
    enableTelemetry: false,
  });
  return {
    async check(id) {
      return (await limiter.limit(id)).success;
    },
    close: () => redis.disconnect(),
  };
}

/** The two calls of the Upstash client that the limiter makes, with ioredis. */
function adapted(redis) {
  const loaded = new Map();
  const evaluate = (sha, keys, args) => redis.evalsha(sha, keys.length, ...keys, ...args);
  return {
    async evalsha(sha, keys, args) {
      if (!loaded.has(sha)) throw new Error('NOSCRIPT');
      return evaluate(loaded.get(sha), keys, args);
    },
    async eval(script, keys, args) {
      // The flag is specific to Upstash: Redis refuses to load a script with it.
      const sha = await redis.script('LOAD', script.replace(' flags=allow-key-locking', ''));
      loaded.set(createHash('sha1').update(script).digest('hex'), sha);
      return evaluate(sha, keys, args);
    },
  };
}
