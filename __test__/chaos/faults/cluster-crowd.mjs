// F21 on a cluster: five hundred connections come back at once.

import { Stage } from '../stage.mjs';
import { until } from '../time.mjs';

const PROCESSES = 4;
const CONNECTIONS = 16;
/** Of three limiters to three primaries. */
const ALL = 9 * PROCESSES * CONNECTIONS;
/** They are opened one after the other, as traffic asks for them. */
const OPENED_MS = 15_000;

export default {
  id: 'F21c',
  title: 'cluster: 500 connections return at once',
  quick: false,
  async run(context) {
    const server = await context.cluster();
    const stage = await Stage.open(context, {
      server,
      processes: PROCESSES,
      redis: { connections: CONNECTIONS },
      // Limiters with the same options share their connections; these differ in what does not matter here.
      redisBy: {
        local: { connectTimeoutMs: 1000 },
        closed: { connectTimeoutMs: 1001 },
        throw: { connectTimeoutMs: 1002 },
      },
      streams: { thinkMs: 50 },
    });
    await until(OPENED_MS, async () => (await server.clients()) >= ALL, 200);
    const before = await server.clients();
    stage.must(before >= 500, `${before} connections, not 500`);
    await stage.measure();
    await stage.outage('all connections closed', { begin: () => server.killClients(), lastMs: 0, end: () => {} });
    await stage.outage('all nodes stand still', {
      begin: () => server.freeze(),
      lastMs: 700,
      end: () => server.thaw(),
    });
    await stage.quiet();
    stage.note(`${before} connections before, ${await server.clients()} after`);
    // A connection that ends while nothing is under way on it costs nothing.
    return stage.finish({ bites: false });
  },
};
