// F26: a replica is promoted that lacks the last writes of its primary.

import { admissions, byIdOf } from '../history.mjs';
import { inSync } from '../servers.mjs';
import { Stage } from '../stage.mjs';

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
    const stage = await Stage.open(context, { server: replica, through: proxy, quota, streams: { cold: 300 } });
    context.step('the replica is cut off');
    link.set('hole');
    await new Promise((resolve) => setTimeout(resolve, 1500));
    let kept;
    await stage.outage('the primary is killed, the replica promoted', {
      begin: async () => {
        await primary.kill();
        await replica.send('REPLICAOF', 'NO', 'ONE');
        kept = await logs(replica);
      },
      lastMs: 500,
      end: () => {
        proxy.target = replica;
        proxy.reset();
      },
    });
    const promotedAt = stage.outages[0][0];
    await stage.quiet();
    const lost = lostWrites(stage, kept, promotedAt);
    const total = [...lost.values()].reduce((sum, count) => sum + count, 0);
    stage.must(total > 0, 'no write was lost: nothing is shown');
    stage.note(`${total} acknowledged admissions lost, of ${lost.size} ids; ${above(stage)} above due by all of them`);
    // A log that is lost keeps no promise.
    return stage.finish({ lost: (key) => lost.get(key) ?? 0, except: ['I22'] });
  },
};

/** The moments in every log that a server has. */
async function logs(server) {
  const found = new Map();
  for (const key of await server.send('KEYS', '{*')) {
    const [, limiter, id] = /^\{(\w+):(.*)\}$/.exec(key);
    found.set(`${limiter} ${id}`, (await server.send('LRANGE', key, 0, -1)).map(Number));
  }
  return found;
}

/** How many acknowledged admissions of each id the promoted server does not have. */
function lostWrites({ history, wallOffset }, kept, promotedAt) {
  const lost = new Map();
  for (const [key, list] of byIdOf(admissions(history, 'redis'))) {
    const left = new Map();
    for (const moment of kept.get(key) ?? []) left.set(moment, (left.get(moment) ?? 0) + 1);
    for (const { moment } of list) {
      if (moment - wallOffset > promotedAt) continue;
      const same = left.get(moment) ?? 0;
      if (same > 0) left.set(moment, same - 1);
      else lost.set(key, (lost.get(key) ?? 0) + 1);
    }
  }
  return lost;
}

function above({ history, limiters }) {
  let sum = 0;
  for (const [, list] of byIdOf(admissions(history, 'redis'))) {
    const { limit, windowMs } = limiters[list[0].limiter];
    const moments = list.map(({ moment }) => moment).sort((a, b) => a - b);
    moments.forEach((at, i) => {
      if (i >= limit && at - moments[i - limit] < windowMs) sum++;
    });
  }
  return sum;
}
