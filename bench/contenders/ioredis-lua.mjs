// The usual solution without a library: ioredis and one script over a sorted set.

import { connect } from './ioredis.mjs';
import { member, script } from './sorted-set.mjs';

export async function open({ port, database, cluster, limit, windowMs, enableAutoPipelining = false }) {
  const redis = await connect({ port, database, cluster, enableAutoPipelining });
  redis.defineCommand('admit', { numberOfKeys: 1, lua: script });
  return {
    async check(id) {
      const [allowed] = await redis.admit(`limit:${id}`, limit, windowMs, member());
      return allowed === 1;
    },
    close: () => redis.disconnect(),
  };
}
