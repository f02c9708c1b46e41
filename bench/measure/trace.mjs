// The trace of the accuracy measurement, and its admissions by an exact log.

export const LIMIT = 20;
export const WINDOW_MS = 2000;

/** A burst whose window begins or ends this close to another burst is not judged: milliseconds would decide it. */
const CLEARANCE_MS = 100;

const every = (ms, count, from, checks) => Array.from({ length: count }, (_, i) => ({ at: from + i * ms, checks }));

/**
 * The times, in ms, and numbers of one id's checks, one after the other. Windows that are aligned to the clock have
 * their edges at the multiples of 2,000.
 */
export const bursts = [
  // Bursts around the edges of fixed windows: aligned windows, and windows that begin with the first check.
  { at: 100, checks: 2 },
  { at: 1700, checks: 20 },
  { at: 2300, checks: 20 },
  { at: 3300, checks: 20 },
  { at: 3900, checks: 20 },
  { at: 5700, checks: 20 },
  { at: 6300, checks: 20 },
  // A client that constantly requests twice its quota: a limiter that records denials never admits it again.
  ...every(310, 20, 9000, 6),
  // A client that stays below its quota.
  ...every(450, 8, 17_500, 3),
];

/** The bursts with `due`, the admissions of an exact log, and `clear`, whether a burst can be judged. */
export function replay(observed) {
  const log = [];
  return observed.map((burst) => {
    const counted = log.filter(({ to }) => to > burst.from - WINDOW_MS);
    const due = Math.min(burst.checks, Math.max(0, LIMIT - sum(counted, 'due')));
    const gone = ({ to }) => to + WINDOW_MS + CLEARANCE_MS < burst.from;
    const counts = ({ from }) => from + WINDOW_MS - CLEARANCE_MS > burst.to;
    // The admissions due after an unjudged burst are unknown until it has left the window.
    const clear = log.every((earlier) => gone(earlier) || (counts(earlier) && earlier.clear) || earlier.due === 0);
    const replayed = { ...burst, due, clear };
    log.push(replayed);
    return replayed;
  });
}

/** The most admissions in any window that ends with a burst. */
export function maxInAnyWindow(observed) {
  const inWindow = (end) => observed.filter(({ from }) => from > end - WINDOW_MS && from <= end);
  return Math.max(...observed.map(({ from }) => sum(inWindow(from), 'admitted')));
}

function sum(list, field) {
  return list.reduce((total, item) => total + item[field], 0);
}
