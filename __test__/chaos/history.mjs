// The decisions of all processes as one history, on one clock.

/**
 * One decision. Times are CLOCK_MONOTONIC in ms, which all processes share. `moment` is what was recorded of an admission:
 * by the server's wall clock for one of Redis's, else by that of the process.
 *
 * `{ process, limiter, id, outcome: 'allowed' | 'denied' | 'failed', source, moment, retryAfterMs, calledAt, settledAt }`;
 * of a failure, `source` is its code.
 */
const OUTCOMES = ['denied', 'allowed', 'failed'];

/** @param records what each process sent, in order of the processes */
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
        // A process whose clock is set wrong is not to be compared with others by it.
        moment: source === 'redis' ? moment : moment - wallOffset,
        retryAfterMs: columns.retryAfterMs[i],
        calledAt: columns.calledAt[i],
        settledAt: columns.settledAt[i],
      };
    }),
  );
}

/** Lists by a key, each in the order of the whole. */
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

/** What Redis has decided, or a process by what Redis has told it. */
export const byRedis = ({ source }) => source === 'redis' || source === 'deny-cache';

export const byIdOf = (history) => grouped(history, ({ limiter, id }) => `${limiter} ${id}`);

export const admissions = (history, source) =>
  history.filter((decision) => decision.outcome === 'allowed' && (!source || decision.source === source));

/** The most of the moments that lie in one window (t - W, t]. O(n log n). */
export function mostInWindow(moments, windowMs) {
  const sorted = Float64Array.from(moments).sort();
  let most = 0;
  for (let from = 0, to = 0; to < sorted.length; to++) {
    // What was admitted exactly a window before is free again.
    while (sorted[from] <= sorted[to] - windowMs) from++;
    most = Math.max(most, to - from + 1);
  }
  return most;
}

/** How many of the sorted values are at or below a bound. */
export function countUpTo(sorted, bound) {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] <= bound) low = middle + 1;
    else high = middle;
  }
  return low;
}
