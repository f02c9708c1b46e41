// F19: the name of the server does not resolve, resolves slowly, and resolves to another address after a failover.

import { DnsServer } from '../dns-server.mjs';
import { inSync } from '../servers.mjs';
import { Scenario } from '../scenario.mjs';

const NAME = 'redis.chaos.test';
/** Writes are held back until UNPAUSE: longer than that takes on any machine. */
const HOLD_MS = 120_000;

export const unresolved = {
  id: 'F19a',
  title: 'name does not resolve, resolves slowly',
  quick: false,
  async run(context) {
    const server = await context.server();
    const names = await named(context, server);
    // Established connections need no name.
    const scenario = await opened(context, { names, server, disruptive: false });
    const { address } = names.answer;
    const outages = [
      ['the name does not exist', {}, 'ENOTFOUND'],
      ['answers take 3 s', { address, delayMs: 3000 }, 'ETIMEDOUT'],
    ];
    for (const [what, answer, code] of outages) {
      await scenario.outage(what, {
        begin: async () => {
          names.answer = answer;
          await server.killClients();
        },
        lastMs: 1000,
        until: scenario.hasFailedWith(code),
        end: () => {
          names.answer = { address };
        },
      });
    }
    // Slower than the deadline of a check, but not than the connect budget: Redis is found all the same.
    await scenario.outage('answers take 400 ms', {
      begin: async () => {
        names.answer = { address, delayMs: 400 };
        await server.killClients();
      },
    });
    await scenario.stopTraffic();
    scenario.must(scenario.failedWith('ENOTFOUND') > 0, 'no check failed with ENOTFOUND');
    scenario.noteCodes();
    return scenario.finish();
  },
};

export const elsewhere = {
  id: 'F19b',
  title: 'name resolves elsewhere after a failover',
  quick: false,
  slow: 2,
  async run(context) {
    const first = await context.server();
    const { port } = first;
    const second = await context.server({ host: '127.0.0.2', port, options: ['--replicaof', first.host, port] });
    await inSync(first, second);
    const names = await named(context, first);
    const scenario = await opened(context, { names, server: second, port });
    await scenario.outage('the primary is killed', {
      begin: async () => {
        await handOver(first, second);
        await first.kill();
        await second.send('REPLICAOF', 'NO', 'ONE');
      },
      lastMs: 500,
      end: () => {
        names.answer = { address: second.host };
      },
    });
    await first.restart({ options: ['--replicaof', second.host, port] });
    await inSync(second, first);
    // The old connections stay open, to a server that is now a replica.
    await scenario.outage('the primary is demoted', {
      begin: async () => {
        await handOver(second, first);
        await first.send('REPLICAOF', 'NO', 'ONE');
        await second.send('REPLICAOF', first.host, port);
        await second.send('CLIENT', 'UNPAUSE');
      },
      lastMs: 500,
      end: () => {
        names.answer = { address: first.host };
      },
    });
    await scenario.stopTraffic();
    scenario.noteCodes();
    return scenario.finish();
  },
};

/** Every acknowledged write is on the other server. */
async function handOver(from, to) {
  await from.send('CLIENT', 'PAUSE', HOLD_MS, 'WRITE');
  await inSync(from, to);
}

async function named(context, server) {
  const names = await DnsServer.start();
  context.keep(names, () => names.close());
  names.answer = { address: server.host };
  return names;
}

function opened(context, { names, server, port = server.port, ...more }) {
  return Scenario.open(context, {
    ...more,
    server,
    through: { host: NAME, port },
    processOptions: () => ({ inside: names.inside }),
  });
}
