// Writes that a failover has lost, counted from acknowledged requests.

import { admissions, byIdOf } from './history.mjs';

/** The moments in every log that a server has. `send` is of that server. */
export async function logsOf(send) {
  const keys = await send('KEYS', '{*');
  const logs = await Promise.all(keys.map((key) => send('LRANGE', key, 0, -1)));
  return new Map(
    keys.map((key, i) => {
      const [, limiter, id] = /^\{(\w+):(.*)\}$/.exec(key);
      return [`${limiter} ${id}`, logs[i].map(Number)];
    }),
  );
}

/**
 * How many acknowledged admissions of each id, of those that had come by `answeredAt`, are not in the logs. What had left the window
 * at `windowAt` is not missed.
 */
export function lostWrites(scenario, kept, answeredAt, of = () => true, windowAt = answeredAt) {
  const lost = new Map();
  for (const [key, list] of byIdOf(acknowledged(scenario, answeredAt, of, windowAt))) {
    const left = new Map();
    for (const moment of kept.get(key) ?? []) left.set(moment, (left.get(moment) ?? 0) + 1);
    for (const { moment } of list) {
      const same = left.get(moment) ?? 0;
      if (same > 0) left.set(moment, same - 1);
      else lost.set(key, (lost.get(key) ?? 0) + 1);
    }
  }
  return lost;
}

/** How many acknowledged admissions were looked for. */
export function acknowledgedWrites(scenario, answeredAt, of, windowAt = answeredAt) {
  return acknowledged(scenario, answeredAt, of, windowAt).length;
}

function acknowledged({ history, wallOffset, limiters }, answeredAt, of, windowAt) {
  return admissions(history, 'redis').filter((decision) => {
    const { limiter, moment, settledAt } = decision;
    return settledAt <= answeredAt && moment - wallOffset > windowAt - limiters[limiter].windowMs && of(decision);
  });
}

export const totalOf = (lost) => [...lost.values()].reduce((sum, count) => sum + count, 0);

/** Admissions of Redis above `limit` in their windows, of all ids. */
export function above({ history, limiters }) {
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
