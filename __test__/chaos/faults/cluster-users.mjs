// F18 on a cluster: the password is rotated under traffic, and one shard lets the limiter in no more, or not do this.

import { healed, others, undisturbed } from '../shards.mjs';
import { Stage } from '../scenario.mjs';

const SICK = 1;

export default {
  id: 'F18c',
  title: 'cluster: a password rotated under traffic; NOPERM and WRONGPASS of one shard',
  quick: false,
  async run(context) {
    const server = await context.cluster();
    const { cluster } = server;
    const { username = 'default', password } = server.access;
    const next = `${password}next`;
    const redis = { password: [next, password] };
    const stage = await Stage.open(context, { server, redis, disruptive: false });
    const grant = (ports, ...rules) => server.sendAll(ports, 'ACL', 'SETUSER', username, ...rules);

    // As ElastiCache has it: the new one besides, then the new one alone. Connections that are there stay.
    await stage.outage('the new password is valid, too', {
      begin: () => grant(cluster.ports, `>${next}`),
      lastMs: 500,
    });
    await stage.outage('the old password ends', {
      begin: () => grant(cluster.ports, `<${password}`),
      lastMs: 500,
    });
    const rotation = stage.outages.length;
    await stage.outage('everybody has to come again', {
      begin: () => server.killClients(),
    });

    await healed(stage, SICK);
    const sick = [await cluster.primary(SICK), await cluster.replica(SICK)];
    await stage.outage('one shard runs no scripts for it', {
      begin: () => grant(sick, '-eval', '-evalsha'),
      lastMs: 500,
      until: stage.told('NOPERM'),
      end: () => grant(sick, '+eval', '+evalsha'),
    });
    await healed(stage, SICK);
    await stage.outage('one shard knows another password', {
      begin: async () => {
        await grant(sick, 'resetpass', '>another');
        await server.killClients(sick);
      },
      lastMs: 500,
      until: stage.told('WRONGPASS'),
      end: () => grant(sick, 'resetpass', `>${next}`),
    });
    await healed(stage, SICK);
    await stage.quiet();
    for (const outage of stage.outages.slice(0, rotation)) {
      const all = undisturbed(stage, outage);
      stage.note(`${all.length} checks while the password was rotated`);
    }
    for (const outage of stage.outages.slice(rotation + 1)) others(stage, outage, SICK);
    for (const code of ['NOPERM', 'WRONGPASS']) stage.must(stage.failedWith(code) > 0, `nobody was told ${code}`);
    stage.noteCodes();
    return stage.finish();
  },
};
