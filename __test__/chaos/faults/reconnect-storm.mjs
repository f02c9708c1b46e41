// F21: five hundred connections reconnect at once.

import { Scenario } from '../scenario.mjs';
import { sleep } from '../time.mjs';

const PROCESSES = 11;
const CONNECTIONS = 16;
/** Longer than a check waits for a connection, so that connections in progress are open. */
const SETTLES_MS = 1000;
/** Of three limiters. */
const ALL = 3 * PROCESSES * CONNECTIONS;

/** Limiters with the same options share their connections; these differ in an irrelevant option. */
export const apart = {
  local: { connectTimeoutMs: 1000 },
  closed: { connectTimeoutMs: 1001 },
  throw: { connectTimeoutMs: 1002 },
};

export default {
  id: 'F21',
  title: '500 connections return at once',
  quick: false,
  slow: 3,
  async run(context) {
    const server = await context.server({ options: ['--appendonly', 'yes', '--appendfsync', 'always'] });
    const scenario = await Scenario.open(context, {
      server,
      processes: PROCESSES,
      redis: { connections: CONNECTIONS },
      redisBy: apart,
      streams: { asking: 4, thinkMs: 50 },
      // The loss of an idle connection costs no decision.
      disruptive: false,
    });
    const connected = async () => Number((await server.info('clients')).connected_clients);
    // Connections are opened one after the other, on demand.
    await scenario.measure(async () => (await connected()) >= ALL);
    const before = await connected();
    await scenario.outage('killed', {
      begin: () => server.kill(),
      lastMs: 1000,
      until: scenario.decidedWithoutRedis,
      returns: () => server.restart(),
    });
    await scenario.outage('all connections closed', { begin: () => server.killClients() });
    // They reconnect one after the other, on demand: how many more do is irrelevant to the decisions.
    let last;
    do {
      last = await connected();
      await sleep(SETTLES_MS);
    } while ((await connected()) !== last);
    scenario.note(`${before} connections before, ${await connected()} after`);
    return scenario.finish();
  },
};
