// valkey-glide, a client with a core in Rust as well, and the same script over a sorted set.

import { GlideClient, GlideClusterClient, Script } from '@valkey/valkey-glide';
import { member, script } from './sorted-set.mjs';

export async function open({ port, database = 0, cluster = false, limit, windowMs }) {
  const client = await (cluster ? GlideClusterClient : GlideClient).createClient({
    addresses: [{ host: '127.0.0.1', port }],
    ...(!cluster && { databaseId: database }),
    // The defaults, 250 ms and 1000, would fail checks on a machine that stalls, and with 1,000 in flight.
    requestTimeout: 5000,
    inflightRequestsLimit: 2000,
  });
  const admit = new Script(script);
  const [limitText, windowText] = [`${limit}`, `${windowMs}`];
  return {
    async check(id) {
      const [allowed] = await client.invokeScript(admit, {
        keys: [`limit:${id}`],
        args: [limitText, windowText, member()],
      });
      return allowed === 1;
    },
    close: () => client.close(),
  };
}
