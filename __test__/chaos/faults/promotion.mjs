// F19: a primary with replicas, several times: a replica is promoted, and a second later the name of the primary
// resolves to it. The old primary continues as a healthy replica, or becomes a black hole.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { DnsServer } from '../dns-server.mjs';
import { freePort, inSync } from '../servers.mjs';
import { Scenario } from '../scenario.mjs';
import { now } from '../time.mjs';

/** Promotions of each kind. */
const TIMES = 3;
/** The delay between the promotion and the change of the name: resolvers cache an answer for so long, or longer. */
const NAME_MS = 1000;
/** From the promotion until the new primary decides, in every process and under every policy. */
const DECIDES_MS = 3000;
/** Writes are held back until UNPAUSE: longer than that takes on any machine. */
const HOLD_MS = 120_000;
/** The host name in the tests' certificate. */
const NAME = 'redis.test';
const RIGHTS = '+eval +evalsha +time +del +pexpire +lindex +llen +lpop +lpush +lset +ltrim'.split(' ');

const file = (name) => fileURLToPath(new URL(`../../fixtures/tls/${name}`, import.meta.url));

export const promoted = {
  id: 'F19c',
  title: 'replica promoted, the name follows a second later',
  quick: false,
  slow: 3,
  run: async (context) => run(context, await plain()),
};

export const promotedOverTls = {
  id: 'F19d',
  title: 'the same over TLS with a user of few rights',
  quick: false,
  slow: 3,
  run: async (context) => run(context, await encrypted(context)),
};

/** `options` of both servers; the `port` and the options `redis` of the limiters. */
async function plain() {
  const port = await freePort();
  return { control: port, port, options: [], redis: {} };
}

async function encrypted({ password }) {
  const [control, port] = [await freePort(), await freePort()];
  const pem = ['--tls-cert-file', file('server.pem'), '--tls-key-file', file('server.key')];
  const tls = ['--tls-port', port, ...pem, '--tls-ca-cert-file', file('ca.pem'), '--tls-auth-clients', 'no'];
  const user = ['--user', 'limiter', 'on', `>${password}`, '~{*', ...RIGHTS];
  const redis = { username: 'limiter', tls: { ca: readFileSync(file('ca.pem'), 'utf8') } };
  return { control, port, options: [...tls, ...user], redis };
}

async function run(context, { control, port, options, redis }) {
  const server = (host, ...more) => context.server({ host, port: control, options: [...options, ...more] });
  let primary = await server('127.0.0.1');
  let replica = await server('127.0.0.2', '--replicaof', primary.host, control);
  await inSync(primary, replica);
  const names = await DnsServer.start();
  context.keep(names, () => names.close());
  names.answer = { address: primary.host };
  const through = { host: NAME, port };
  const scenario = await Scenario.open(context, {
    server: primary,
    through,
    redis,
    processOptions: () => ({ inside: names.inside }),
  });
  const promotions = { 'a replica': [], 'a black hole': [] };
  for (let i = 0; i < 2 * TIMES; i++) {
    const hole = i % 2 === 1;
    const old = hole ? 'a black hole' : 'a replica';
    await scenario.outage(`promotion ${i + 1}: the old primary is ${old}`, {
      begin: async () => {
        // Every acknowledged write is on the other server.
        await primary.send('CLIENT', 'PAUSE', HOLD_MS, 'WRITE');
        await inSync(primary, replica);
        if (hole) primary.freeze();
        await replica.send('REPLICAOF', 'NO', 'ONE');
        promotions[old].push(now());
        if (!hole) await demote(primary, replica);
      },
      lastMs: NAME_MS,
      end: () => {
        names.answer = { address: replica.host };
      },
    });
    [primary, replica] = [replica, primary];
    scenario.server = primary;
    if (hole) {
      replica.thaw();
      await demote(replica, primary);
    }
    await inSync(primary, replica);
    // The next promotion starts from a healthy state: every breaker is closed, and Redis decides.
    await scenario.decides(now());
  }
  await scenario.stopTraffic();
  for (const [old, moments] of Object.entries(promotions)) {
    const decided = moments.map((since) => scenario.decided(since));
    const [took, running] = ['took', 'running'].map((name) => decided.map((one) => one[name]).sort((a, b) => a - b));
    scenario.must(
      running.at(-1) <= DECIDES_MS,
      `the new primary decided after ${Math.round(running.at(-1))} ms of running from its promotion on`,
    );
    scenario.note(
      `the old primary ${old}: decided by the new one ${took.map(Math.round).join(', ')} ms after its promotion, the name having moved after ${NAME_MS}`,
    );
  }
  scenario.noteCodes();
  return scenario.finish();
}

/** The server becomes a replica and releases the held writes, which it then refuses. */
async function demote(server, primary) {
  await server.send('REPLICAOF', primary.host, primary.port);
  await server.send('CLIENT', 'UNPAUSE');
}
