// F21 on a cluster: five hundred connections reconnect at once.

import servers from '../../servers/index.cjs';
import { waitForShard } from '../shards.mjs';
import { Scenario } from '../scenario.mjs';
import { eventually, now } from '../time.mjs';
import { apart } from './reconnect-storm.mjs';

const { SHARDS } = servers;

const PROCESSES = 4;
const CONNECTIONS = 16;
/** Three limiters, three primaries. */
const ALL = 9 * PROCESSES * CONNECTIONS;

export default {
  id: 'F21c',
  title: 'cluster: 500 connections return at once',
  quick: false,
  slow: 3,
  async run(context) {
    const server = await context.cluster();
    const scenario = await Scenario.open(context, {
      server,
      processes: PROCESSES,
      redis: { connections: CONNECTIONS },
      redisBy: apart,
      // The loss of an idle connection costs no decision.
      disruptive: false,
    });
    // Connections are opened one after the other, on demand.
    await scenario.measure(async () => (await server.clients()) >= ALL);
    const before = await server.clients();
    await scenario.outage('all connections closed', { begin: () => server.killClients() });
    await whole(scenario);
    await scenario.outage('all nodes are stopped', {
      begin: () => server.freeze(),
      lastMs: 700,
      end: () => server.thaw(),
    });
    await whole(scenario);
    const took = await again(server, ALL);
    await scenario.stopTraffic();
    const since = `the last of them ${Math.round(took)} ms after all shards had decided again`;
    scenario.note(`${before} connections before, ${await server.clients()} after; ${since}`);
    return scenario.finish();
  },
};

/**
 * Waits until every shard decides again, in every process and under every policy: one shard's reply is no recovery of a
 * process.
 */
async function whole(scenario) {
  await Promise.all(Array.from({ length: SHARDS }, (_, shard) => waitForShard(scenario, shard)));
}

/** The time in which so many connections are opened. */
async function again(server, count) {
  const from = now();
  await eventually('all connections are back', async () => (await server.clients()) >= count, 50);
  return now() - from;
}
