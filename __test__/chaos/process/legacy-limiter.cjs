'use strict';
// The module that this package replaces, as the negative control: a check that it passes proves nothing. It runs a
// pipeline by the client's clock; it records denials, too; a failed command counts as an empty window.

const Redis = require('ioredis').default;

async function open({ name, limit, windowMs, redis: { host, port, password } }) {
  const redis = new Redis({ host, port, password });
  // ioredis logs errors without a listener.
  redis.on('error', () => {});
  await new Promise((resolve) => redis.once('ready', resolve));
  return {
    async limit(id) {
      const now = Date.now();
      const key = `${name}:${id}`;
      const replies = await redis
        .pipeline()
        .zremrangebyscore(key, 0, now - windowMs)
        .zcard(key)
        .zadd(key, now, `${now}-${Math.random()}`)
        .expire(key, Math.ceil(windowMs / 1000))
        .exec();
      const count = replies.some(([error]) => error) ? 0 : replies[1][1];
      const allowed = count < limit;
      // It made every denied client wait a whole window.
      return { allowed, source: 'redis', reset: now + windowMs, retryAfterMs: allowed ? 0 : windowMs };
    },
    close: () => redis.disconnect(),
  };
}

module.exports = { open };
