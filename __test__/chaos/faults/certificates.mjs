// F17: the certificate is replaced while clients are connected: by a valid one, without effect on them, and by invalid
// ones; then the port switches to plain text.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { freePort } from '../servers.mjs';
import { Scenario } from '../scenario.mjs';
import { now, sleep } from '../time.mjs';

const RENEWALS = 20;
const RENEWAL_MS = 50;
const OUTAGE_MS = 300;

const WRONG = {
  'another authority': 'unknown-ca',
  expired: 'expired',
  'not yet valid': 'not-yet-valid',
  'another name': 'wrong-name',
};

const file = (name) => fileURLToPath(new URL(`../../fixtures/tls/${name}`, import.meta.url));
const pem = (name) => readFileSync(file(`${name}.pem`), 'utf8');

export default {
  id: 'F17',
  title: 'certificate replaced while connected; plain where there was TLS',
  quick: false,
  slow: 2,
  async run(context) {
    const port = await freePort();
    const shown = ['--tls-cert-file', file('server.pem'), '--tls-key-file', file('server.key')];
    const options = ['--tls-port', port, ...shown, '--tls-ca-cert-file', file('ca.pem'), '--tls-auth-clients', 'no'];
    const server = await context.server({ options });
    const show = (name) => server.config('tls-cert-file', file(`${name}.pem`));
    const encrypted = { host: server.host, port };
    const proxy = await context.proxy(encrypted);
    const tls = { ca: pem('ca') + pem('next-ca'), servername: 'redis.test' };
    const scenario = await Scenario.open(context, { server, through: proxy, redis: { tls } });
    context.step('renewed under load');
    const renewed = now();
    for (let i = 0; i < RENEWALS; i++) {
      await show(i % 2 === 0 ? 'renewed' : 'server');
      await sleep(RENEWAL_MS);
    }
    const renewals = [renewed, now()];
    const outages = [];
    for (const [what, name] of Object.entries(WRONG)) {
      const outage = await scenario.outage(what, {
        begin: async () => {
          await show(name);
          // Established connections do not see the new certificate: they are closed.
          await server.killClients();
        },
        lastMs: OUTAGE_MS,
        until: scenario.hasFailedWith('TLS'),
        end: () => show('renewed'),
      });
      outages.push([what, outage]);
    }
    await scenario.outage('plain', {
      begin: () => {
        proxy.target = server;
        proxy.reset();
      },
      lastMs: OUTAGE_MS,
      end: () => {
        proxy.target = encrypted;
        proxy.reset();
      },
    });
    await scenario.stopTraffic();
    const meanwhile = scenario.between(...renewals).filter(({ settledAt }) => settledAt < renewals[1]);
    const without = scenario.unexplained(meanwhile);
    scenario.must(
      without.length === 0,
      `${without.length} checks were decided without Redis while certificates were renewed`,
    );
    scenario.note(`${RENEWALS} renewals, ${meanwhile.length} checks meanwhile: ${scenario.share(meanwhile)}`);
    for (const [what, [from, to]] of outages) {
      const failed = scenario.between(from, to).filter(({ outcome }) => outcome === 'failed');
      const named = failed.filter(({ source }) => source === 'TLS');
      scenario.must(named.length > 0, `${what}: no check failed with TLS`);
      scenario.note(`${what}: ${named.length} of ${failed.length} failures under throw are TLS`);
    }
    scenario.noteCodes();
    return scenario.finish();
  },
};
