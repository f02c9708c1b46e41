// F17 on a cluster: one node presents invalid certificates, and the other shards continue.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { waitForShard, otherShardsUnaffected, allByRedis } from '../shards.mjs';
import { Scenario } from '../scenario.mjs';

const FAULTY = 1;
const GONE = { recursive: true, force: true };
const WRONG = { 'another authority': 'unknown-ca', expired: 'expired', 'another name': 'wrong-name' };

const fixture = (name) => fileURLToPath(new URL(`../../fixtures/${name}`, import.meta.url));
const file = (name) => fixture(`tls/${name}`);
const pem = (name) => readFileSync(file(`${name}.pem`), 'utf8');

export default {
  id: 'F17c',
  title: 'cluster: the certificate of one node is renewed, and wrong',
  quick: false,
  async run(context) {
    // Nodes are clients of each other, and the presented certificates are not valid for clients: the bus keeps its own
    // one.
    const folder = context.keep(mkdtempSync(join(tmpdir(), 'rate-limit-chaos-')), () => rmSync(folder, GONE));
    const ca = join(folder, 'ca.pem');
    writeFileSync(ca, pem('ca') + pem('next-ca') + readFileSync(fixture('localhost/ca.pem')));
    const own = ['cert-file', 'server.pem', 'key-file', 'server.key'];
    const options = own.map((text, i) => (i % 2 === 0 ? `--tls-client-${text}` : fixture(`localhost/${text}`)));
    const certificate = { ca, cert: file('server.pem'), key: file('server.key') };
    // It is for 127.0.0.1: the nodes announce IP addresses.
    const server = await context.cluster({ secure: true, certificate, options, hostNames: undefined });
    const redis = { host: '127.0.0.1', tls: { ca: pem('ca') + pem('next-ca') } };
    // A valid renewal costs no decision.
    const scenario = await Scenario.open(context, { server, redis, disruptive: false });
    const faulty = [await server.cluster.primary(FAULTY)];
    const show = (name) => server.sendAll(faulty, 'CONFIG', 'SET', 'tls-cert-file', file(`${name}.pem`));
    await scenario.outage('renewed while connected', {
      begin: () => show('renewed'),
      lastMs: 1000,
      end: () => show('server'),
    });
    for (const [what, name] of Object.entries(WRONG)) {
      await scenario.outage(what, {
        begin: async () => {
          await show(name);
          // Established connections do not see the new certificate: they are closed.
          await server.killClients(faulty);
        },
        lastMs: 300,
        until: scenario.hasFailedWith('TLS'),
        end: () => show('server'),
      });
      await waitForShard(scenario, FAULTY);
    }
    await scenario.stopTraffic();
    const [renewal, ...wrong] = scenario.outages;
    allByRedis(scenario, renewal);
    for (const [i, outage] of wrong.entries()) {
      otherShardsUnaffected(scenario, outage, FAULTY);
      const named = scenario.between(...outage).filter(({ source }) => source === 'TLS').length;
      scenario.must(named > 0, `${Object.keys(WRONG)[i]}: no check failed with TLS`);
    }
    scenario.noteCodes();
    return scenario.finish();
  },
};
