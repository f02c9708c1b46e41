// F17 on a cluster: one node shows certificates that nobody should believe, and the others go on.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { healed, others, undisturbed } from '../shards.mjs';
import { Stage } from '../scenario.mjs';

const SICK = 1;
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
    // Nodes are clients of each other, which the certificates that are shown are not for: there they have one that stays.
    const folder = context.keep(mkdtempSync(join(tmpdir(), 'rate-limit-chaos-')), () => rmSync(folder, GONE));
    const ca = join(folder, 'ca.pem');
    writeFileSync(ca, pem('ca') + pem('next-ca') + readFileSync(fixture('localhost/ca.pem')));
    const own = ['cert-file', 'server.pem', 'key-file', 'server.key'];
    const options = own.map((text, i) => (i % 2 === 0 ? `--tls-client-${text}` : fixture(`localhost/${text}`)));
    const certificate = { ca, cert: file('server.pem'), key: file('server.key') };
    // It is for 127.0.0.1: the nodes go by their addresses.
    const server = await context.cluster({ secure: true, certificate, options, hostNames: undefined });
    const redis = { host: '127.0.0.1', tls: { ca: pem('ca') + pem('next-ca') } };
    // The renewal costs nothing.
    const stage = await Stage.open(context, { server, redis, disruptive: false });
    const sick = [await server.cluster.primary(SICK)];
    const show = (name) => server.sendAll(sick, 'CONFIG', 'SET', 'tls-cert-file', file(`${name}.pem`));
    await stage.outage('renewed while connected', {
      begin: () => show('renewed'),
      lastMs: 1000,
      end: () => show('server'),
    });
    for (const [what, name] of Object.entries(WRONG)) {
      await stage.outage(what, {
        begin: async () => {
          await show(name);
          // Those that are connected are not asked again: they would go on.
          await server.killClients(sick);
        },
        lastMs: 300,
        until: stage.told('TLS'),
        end: () => show('server'),
      });
      await healed(stage, SICK);
    }
    await stage.quiet();
    const [renewal, ...wrong] = stage.outages;
    undisturbed(stage, renewal);
    for (const [i, outage] of wrong.entries()) {
      others(stage, outage, SICK);
      const named = stage.between(...outage).filter(({ source }) => source === 'TLS').length;
      stage.must(named > 0, `${Object.keys(WRONG)[i]}: nobody was told TLS`);
    }
    stage.noteCodes();
    return stage.finish();
  },
};
