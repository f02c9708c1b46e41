// F18: the password is rotated under traffic, and then the server lets nobody in, or allows nothing.

import { Stage } from '../scenario.mjs';
import { now, sleep } from '../time.mjs';

export default {
  id: 'F18',
  title: 'password rotated, wrong, and a user without rights',
  quick: true,
  async run(context) {
    const server = await context.server();
    // The old one is in it: what looks for a secret finds either.
    const [old, next] = [context.password, `${context.password}next`];
    // Connections may be killed while nothing is under way on them.
    const stage = await Stage.open(context, { server, redis: { password: [next, old] }, disruptive: false });
    const user = (...rules) => server.send('ACL', 'SETUSER', 'default', ...rules);
    const lastMs = context.quick ? 300 : 1000;

    const from = now();
    for (const rules of [[`>${next}`], ['resetpass', `>${next}`]]) {
      context.step(rules.length === 1 ? 'old and new are valid' : 'the new one alone');
      await user(...rules);
      await sleep(lastMs);
    }
    const to = now();
    // What was asked until then is answered before its connection is killed.
    await stage.settledUntilNow();
    server.password = next;

    await stage.outage('all have to come again, with the new one', {
      begin: () => server.killClients(),
    });
    await stage.outage('none of their passwords is right', {
      begin: async () => {
        await user('resetpass', '>another');
        await server.killClients();
      },
      until: stage.told('WRONGPASS'),
      end: () => user('resetpass', `>${next}`),
    });
    await stage.outage('the user may run no script', {
      begin: () => user('-eval', '-evalsha'),
      until: stage.told('NOPERM'),
      end: () => user('+@all'),
    });
    await stage.quiet();
    const lost = stage.unexplained(stage.between(from, to));
    stage.must(lost.length === 0, `${lost.length} checks were not decided by Redis while the password was rotated`);
    for (const code of ['WRONGPASS', 'NOPERM']) stage.must(stage.failedWith(code) > 0, `nobody was told ${code}`);
    return stage.finish();
  },
};
