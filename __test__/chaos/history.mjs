// The decisions of all processes as one history, on one clock.

/**
 * One decision. Times are CLOCK_MONOTONIC in ms, which all processes share. `moment` is the recorded time of an
 * admission: by the server's wall clock if Redis decided, else by that of the process.
 *
 * `{ process, limiter, id, outcome: 'allowed' | 'denied' | 'failed', source, moment, retryAfterMs, calledAt, settledAt }`;
 * for a failure, `source` is its code.
 */
const OUTCOMES = ['denied', 'allowed', 'failed'];

/** @param records the records of each process, in order of the processes */
export function historyOf(records) {
  return records.flatMap(({ length, columns, names, wallOffset }, process) =>
    Array.from({ length }, (_, i) => {
      const source = names.source[columns.source[i]];
      const moment = columns.moment[i];
      return {
        process,
        limiter: names.limiter[columns.limiter[i]],
        id: names.id[columns.id[i]],
        outcome: OUTCOMES[columns.outcome[i]],
        source,
        // The wall clocks of processes may differ: local times are converted to the monotonic clock.
        moment: source === 'redis' ? moment : moment - wallOffset,
        retryAfterMs: columns.retryAfterMs[i],
        calledAt: columns.calledAt[i],
        settledAt: columns.settledAt[i],
      };
    }),
  );
}

/** Groups a list by a key; each group is in the order of the list. */
export function grouped(list, keyOf) {
  const groups = new Map();
  for (const item of list) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  }
  return groups;
}

/** Decided by Redis, or by the deny cache on behalf of Redis. */
export const byRedis = ({ source }) => source === 'redis' || source === 'deny-cache';

export const byIdOf = (history) => grouped(history, ({ limiter, id }) => `${limiter} ${id}`);

export const admissions = (history, source) =>
  history.filter((decision) => decision.outcome === 'allowed' && (!source || decision.source === source));

/** The largest number of moments in one window (t - W, t]. O(n log n). */
export function mostInWindow(moments, windowMs) {
  const sorted = Float64Array.from(moments).sort();
  let most = 0;
  for (let from = 0, to = 0; to < sorted.length; to++) {
    // The slot of an admission is free exactly one window later.
    while (sorted[from] <= sorted[to] - windowMs) from++;
    most = Math.max(most, to - from + 1);
  }
  return most;
}

/** The number of sorted values at or below a bound. */
export function countUpTo(sorted, bound) {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] <= bound) low = middle + 1;
    else high = middle;
  }
  return low;
}
