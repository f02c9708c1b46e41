// F18 on a cluster: the password is rotated under traffic; then one shard refuses the login, and the commands.

import { waitForShard, otherShardsUnaffected, allByRedis } from '../shards.mjs';
import { Scenario } from '../scenario.mjs';

const FAULTY = 1;

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
    const scenario = await Scenario.open(context, { server, redis, disruptive: false });
    const grant = (ports, ...rules) => server.sendAll(ports, 'ACL', 'SETUSER', username, ...rules);

    // As in ElastiCache: first the new one in addition, then the new one alone. Established connections stay.
    await scenario.outage('the new password is valid, too', {
      begin: () => grant(cluster.ports, `>${next}`),
      lastMs: 500,
    });
    await scenario.outage('the old password is removed', {
      begin: () => grant(cluster.ports, `<${password}`),
      lastMs: 500,
    });
    const rotation = scenario.outages.length;
    await scenario.outage('all connections are closed', {
      begin: () => server.killClients(),
    });

    await waitForShard(scenario, FAULTY);
    const faulty = [await cluster.primary(FAULTY), await cluster.replica(FAULTY)];
    await scenario.outage('one shard refuses its scripts', {
      begin: () => grant(faulty, '-eval', '-evalsha'),
      lastMs: 500,
      until: scenario.hasFailedWith('NOPERM'),
      end: () => grant(faulty, '+eval', '+evalsha'),
    });
    await waitForShard(scenario, FAULTY);
    await scenario.outage('one shard has another password', {
      begin: async () => {
        await grant(faulty, 'resetpass', '>another');
        await server.killClients(faulty);
      },
      lastMs: 500,
      until: scenario.hasFailedWith('WRONGPASS'),
      end: () => grant(faulty, 'resetpass', `>${next}`),
    });
    await waitForShard(scenario, FAULTY);
    await scenario.stopTraffic();
    for (const outage of scenario.outages.slice(0, rotation)) {
      const all = allByRedis(scenario, outage);
      scenario.note(`${all.length} checks while the password was rotated`);
    }
    for (const outage of scenario.outages.slice(rotation + 1)) otherShardsUnaffected(scenario, outage, FAULTY);
    for (const code of ['NOPERM', 'WRONGPASS'])
      scenario.must(scenario.failedWith(code) > 0, `no check failed with ${code}`);
    scenario.noteCodes();
    return scenario.finish();
  },
};
