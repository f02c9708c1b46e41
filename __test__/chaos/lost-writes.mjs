// Writes that a failover has lost, counted from acknowledged requests.

import { admissions, byIdOf } from './history.mjs';

/** The times in every log of a server. `send` sends a command to it. */
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
 * The number of acknowledged admissions of each id, answered by `answeredAt`, that are missing from the logs.
 * Admissions outside of the window at `windowAt` are ignored.
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

/** The number of acknowledged admissions that were compared. */
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

/** The admissions of Redis above `limit` in their windows, over all ids. */
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
