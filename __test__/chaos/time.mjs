// One clock for all processes of a run, and bounds for every wait.

import { setTimeout as sleep } from 'node:timers/promises';
import clock from './process/clock.cjs';

export const { now, wallOffset } = clock;
export { sleep };

/**
 * Any wait takes a fraction of this, however busy the machine is: after it, something hangs. It decides nothing else.
 */
export const HANG_MS = 180_000;

/** The promise, or after `ms` an error that names it: no step of a fault may hang the run. */
export async function within(ms, what, promise) {
  const bound = new AbortController();
  const late = sleep(ms, undefined, { signal: bound.signal }).then(() => {
    throw new Error(`${what}: not within ${ms} ms`);
  });
  late.catch(() => {});
  try {
    return await Promise.race([promise, late]);
  } finally {
    bound.abort();
  }
}

/** Waits until the result is truthy, and returns it; an error names the missing condition when it hangs. */
export async function eventually(what, ask, every) {
  const answer = await until(HANG_MS, ask, every);
  if (answer === undefined) throw new Error(`not within ${HANG_MS} ms: ${what}`);
  return answer;
}

/** Repeats `ask` until its result is truthy, and returns it; undefined after `ms`. */
export async function until(ms, ask, every = 20) {
  for (const end = now() + ms; ;) {
    const answer = await ask();
    if (answer) return answer;
    if (now() > end) return undefined;
    await sleep(every);
  }
}
