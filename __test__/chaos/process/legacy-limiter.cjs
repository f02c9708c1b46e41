'use strict';
// The module that this package replaces, as the control that must fail: a checker that it passes checks nothing. A
// pipeline by the client's clock; denials are recorded too; a failed command counts as an empty window.

const Redis = require('ioredis').default;

async function open({ name, limit, windowMs, redis: { host, port, password } }) {
  const redis = new Redis({ host, port, password });
  // ioredis logs what nobody listens to.
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
      // It told every denied client to come back after a whole window.
      return { allowed, source: 'redis', reset: now + windowMs, retryAfterMs: allowed ? 0 : windowMs };
    },
    close: () => redis.disconnect(),
  };
}

module.exports = { open };
