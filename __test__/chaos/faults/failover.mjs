// F26: a promoted replica lacks the last writes of its primary.

import { above, logsOf, lostWrites, totalOf } from '../lost-writes.mjs';
import { inSync } from '../servers.mjs';
import { Scenario } from '../scenario.mjs';
import { now, sleep } from '../time.mjs';

export default {
  id: 'F26',
  title: 'a replica promoted without the last writes',
  quick: false,
  async run(context) {
    const primary = await context.server();
    const link = await context.proxy(primary);
    const replica = await context.server({ options: ['--replicaof', link.host, link.port] });
    const proxy = await context.proxy(primary);
    await inSync(primary, replica);
    // Many ids have used a part of their quota when the link breaks.
    const quota = { windowMs: 8000 };
    const scenario = await Scenario.open(context, { server: replica, through: proxy, quota, streams: { cold: 150 } });
    context.step('the link of the replica breaks');
    link.set('black-hole');
    await Promise.all([sleep(1000), scenario.asked(100)]);
    let [kept, killedAt, answeredAt] = [];
    await scenario.outage('the primary is killed, the replica promoted', {
      begin: async () => {
        await primary.kill();
        killedAt = now();
        // Replies of the dead primary may still arrive; no other server answers yet.
        await scenario.settledUntilNow();
        answeredAt = now();
        await replica.send('REPLICAOF', 'NO', 'ONE');
        kept = await logsOf((...command) => replica.send(...command));
      },
      end: () => {
        proxy.target = replica;
        proxy.reset();
      },
    });
    await scenario.stopTraffic();
    const lost = lostWrites(scenario, kept, answeredAt, undefined, killedAt);
    const total = totalOf(lost);
    scenario.must(total > 0, 'no write was lost: the fault shows nothing');
    scenario.note(
      `${total} acknowledged admissions lost, of ${lost.size} ids; ${above(scenario)} above due by all of them`,
    );
    // A lost log keeps no promised retry time.
    return scenario.finish({ lost: (key) => lost.get(key) ?? 0, except: ['I22'] });
  },
};
