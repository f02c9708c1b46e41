// The module that this package replaces: a pipeline by the client's clock, which records denials too, and a second round
// trip that counts for anomalies.

import { connect } from './ioredis.mjs';

const ANOMALY_SECONDS = 300;

export async function open({ port, database, limit, windowMs }) {
  const redis = await connect({ port, database });
  const windowSeconds = Math.ceil(windowMs / 1000);
  return {
    async check(id) {
      const now = Date.now();
      const key = `rate_limit:${id}`;
      const replies = await redis
        .pipeline()
        .zremrangebyscore(key, 0, now - windowMs)
        .zcard(key)
        .zadd(key, now, `${now}-${Math.random()}`)
        .expire(key, windowSeconds)
        .exec();
      const count = valueOf(replies[1]);
      const anomalyKey = `anomaly:${id}`;
      await redis.pipeline().incr(anomalyKey).expire(anomalyKey, ANOMALY_SECONDS).exec();
      return count < limit;
    },
    close: () => redis.disconnect(),
  };
}

/** The module treated a failed command as a count of 0. Here a failed command ends the measurement. */
function valueOf([error, value]) {
  if (error) throw error;
  return value;
}
