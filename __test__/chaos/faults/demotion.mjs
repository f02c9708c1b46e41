// F3: the primary is demoted to a replica under its connections, and promoted again. F8: a replica that has lost its
// primary and does not serve stale data.

import { freePort, inSync } from '../servers.mjs';
import { Scenario } from '../scenario.mjs';

/** Writes are held back until UNPAUSE: longer than that takes on any machine. */
const HOLD_MS = 120_000;

export const demoted = {
  id: 'F3',
  title: 'primary demoted to a replica, then promoted back',
  quick: true,
  async run(context) {
    const server = await context.server();
    // They have to be in sync: a demoted primary loads the data of the other.
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
        // Promoted during the full sync, it would have lost its own data.
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
    await scenario.outage('its primary is unreachable', {
      begin: () => server.send('REPLICAOF', '127.0.0.1', unusedPort),
      lastMs: 1000,
      end: () => server.send('REPLICAOF', 'NO', 'ONE'),
    });
    await scenario.stopTraffic();
    scenario.noteCodes();
    return scenario.finish();
  },
};
