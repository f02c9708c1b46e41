// F18: the password is rotated under traffic; then the server refuses every login, and every command.

import { Scenario } from '../scenario.mjs';
import { now, sleep } from '../time.mjs';

export default {
  id: 'F18',
  title: 'password rotated, wrong, and a user without rights',
  quick: true,
  async run(context) {
    const server = await context.server();
    // It contains the old one: a search for the secret finds either.
    const [old, next] = [context.password, `${context.password}next`];
    // Connections may be killed while they are idle.
    const scenario = await Scenario.open(context, { server, redis: { password: [next, old] }, disruptive: false });
    const user = (...rules) => server.send('ACL', 'SETUSER', 'default', ...rules);
    const lastMs = context.quick ? 300 : 1000;

    const from = now();
    for (const rules of [[`>${next}`], ['resetpass', `>${next}`]]) {
      context.step(rules.length === 1 ? 'old and new are valid' : 'the new one alone');
      await user(...rules);
      await sleep(lastMs);
    }
    const to = now();
    // Earlier checks are answered before their connection is killed.
    await scenario.settledUntilNow();
    server.password = next;

    await scenario.outage('all connections are closed; the new password is valid', {
      begin: () => server.killClients(),
    });
    await scenario.outage('none of their passwords is valid', {
      begin: async () => {
        await user('resetpass', '>another');
        await server.killClients();
      },
      until: scenario.hasFailedWith('WRONGPASS'),
      end: () => user('resetpass', `>${next}`),
    });
    await scenario.outage('the user may run no script', {
      begin: () => user('-eval', '-evalsha'),
      until: scenario.hasFailedWith('NOPERM'),
      end: () => user('+@all'),
    });
    await scenario.stopTraffic();
    const lost = scenario.unexplained(scenario.between(from, to));
    scenario.must(lost.length === 0, `${lost.length} checks were not decided by Redis while the password was rotated`);
    for (const code of ['WRONGPASS', 'NOPERM'])
      scenario.must(scenario.failedWith(code) > 0, `no check failed with ${code}`);
    return scenario.finish();
  },
};
