// F3: the primary becomes a replica under its connections, and a primary again. F8: a replica that has lost its primary
// and does not serve what may be stale.

import { freePort, inSync } from '../servers.mjs';
import { Scenario } from '../scenario.mjs';

/** Writes are held back until the server is told otherwise: longer than that takes on any machine. */
const HOLD_MS = 120_000;

export const demoted = {
  id: 'F3',
  title: 'primary demoted to a replica, then promoted back',
  quick: true,
  async run(context) {
    const server = await context.server();
    // It has to be in sync: a demoted primary takes over the data of the other.
    const other = await context.server({ options: ['--replicaof', server.host, server.port] });
    const scenario = await Scenario.open(context, { server });
    await scenario.outage('demoted', {
      begin: async () => {
        await server.send('CLIENT', 'PAUSE', HOLD_MS, 'WRITE');
        await inSync(server, other);
        await other.send('REPLICAOF', 'NO', 'ONE');
        await server.send('REPLICAOF', other.host, other.port);
        await server.send('CLIENT', 'UNPAUSE');
      },
      until: scenario.hasFailedWith('READONLY'),
      end: async () => {
        // Promoted while it takes over what the other has, it would have lost what it had itself.
        await inSync(other, server);
        await server.send('REPLICAOF', 'NO', 'ONE');
      },
    });
    await scenario.stopTraffic();
    scenario.must(scenario.failedWith('READONLY') > 0, 'no check failed with READONLY');
    return scenario.finish();
  },
};

export const masterDown = {
  id: 'F8',
  title: 'MASTERDOWN: a replica without its primary',
  quick: false,
  async run(context) {
    const server = await context.server({ options: ['--replica-serve-stale-data', 'no'] });
    const unusedPort = await freePort();
    const scenario = await Scenario.open(context, { server });
    await scenario.outage('its primary is not there', {
      begin: () => server.send('REPLICAOF', '127.0.0.1', unusedPort),
      lastMs: 1000,
      end: () => server.send('REPLICAOF', 'NO', 'ONE'),
    });
    await scenario.stopTraffic();
    scenario.noteCodes();
    return scenario.finish();
  },
};
