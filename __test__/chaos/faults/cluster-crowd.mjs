// F21 on a cluster: five hundred connections come back at once.

import servers from '../../servers/index.cjs';
import { healed } from '../shards.mjs';
import { Stage } from '../stage.mjs';
import { now, until } from '../time.mjs';
import { apart } from './crowd.mjs';

const { SHARDS } = servers;

const PROCESSES = 4;
const CONNECTIONS = 16;
/** Of three limiters to three primaries. */
const ALL = 9 * PROCESSES * CONNECTIONS;
/** They are opened one after the other, as traffic asks for them. */
const OPENED_MS = 15_000;
/** The default of Redis. With the 1000 ms of the other rows, nodes that stood still for 700 ms take each other for failed: the
 *  cluster serves nobody for seconds, or fails over, whatever the connections do. That is F2 and F6. */
const NODE_TIMEOUT_MS = 15_000;

export default {
  id: 'F21c',
  title: 'cluster: 500 connections return at once',
  quick: false,
  async run(context) {
    const server = await context.cluster({ nodeTimeoutMs: NODE_TIMEOUT_MS });
    const stage = await Stage.open(context, {
      server,
      processes: PROCESSES,
      redis: { connections: CONNECTIONS },
      redisBy: apart,
      streams: { thinkMs: 50 },
    });
    await until(OPENED_MS, async () => (await server.clients()) >= ALL, 200);
    const before = await server.clients();
    stage.must(before >= 500, `${before} connections, not 500`);
    await stage.measure();
    await stage.outage('all connections closed', { begin: () => server.killClients(), lastMs: 0, end: () => {} });
    await whole(stage);
    await stage.outage('all nodes stand still', {
      begin: () => server.freeze(),
      lastMs: 700,
      end: () => server.thaw(),
    });
    await whole(stage);
    const took = await again(server, before);
    stage.must(took !== undefined, `${await server.clients()} of ${before} connections are back`);
    await stage.quiet();
    const since = `the last of them ${Math.round(took)} ms after all shards had decided again`;
    stage.note(`${before} connections before, ${await server.clients()} after; ${since}`);
    // A connection that ends while nothing is under way on it costs nothing.
    return stage.finish({ bites: false });
  },
};

/** Every shard decides again, in every process and for every policy: a process that one shard answers has not recovered. */
async function whole(stage) {
  await Promise.all(Array.from({ length: SHARDS }, (_, shard) => healed(stage, shard)));
}

/** How long it takes until so many connections are there. */
async function again(server, count) {
  const from = now();
  const all = await until(OPENED_MS, async () => (await server.clients()) >= count, 50);
  return all && now() - from;
}
