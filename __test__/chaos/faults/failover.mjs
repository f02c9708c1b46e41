// F26: a replica is promoted that lacks the last writes of its primary.

import { above, logsOf, lostWrites, totalOf } from '../lost-writes.mjs';
import { inSync } from '../servers.mjs';
import { Stage } from '../scenario.mjs';
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
    // Many have used up a part of their quota when the link breaks.
    const quota = { windowMs: 8000 };
    const stage = await Stage.open(context, { server: replica, through: proxy, quota, streams: { cold: 150 } });
    context.step('the replica is cut off');
    link.set('hole');
    await Promise.all([sleep(1000), stage.asked(100)]);
    let [kept, killedAt, answeredAt] = [];
    await stage.outage('the primary is killed, the replica promoted', {
      begin: async () => {
        await primary.kill();
        killedAt = now();
        // Answers of the dead on their way come; nobody else answers yet.
        await stage.settledUntilNow();
        answeredAt = now();
        await replica.send('REPLICAOF', 'NO', 'ONE');
        kept = await logsOf((...command) => replica.send(...command));
      },
      end: () => {
        proxy.target = replica;
        proxy.reset();
      },
    });
    await stage.quiet();
    const lost = lostWrites(stage, kept, answeredAt, undefined, killedAt);
    const total = totalOf(lost);
    stage.must(total > 0, 'no write was lost: nothing is shown');
    stage.note(`${total} acknowledged admissions lost, of ${lost.size} ids; ${above(stage)} above due by all of them`);
    // A log that is lost keeps no promise.
    return stage.finish({ lost: (key) => lost.get(key) ?? 0, except: ['I22'] });
  },
};
