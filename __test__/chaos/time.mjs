// One clock for all processes of a run, and bounds for everything that is waited for.

import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

export { sleep };

const origin = Number(process.hrtime.bigint()) / 1e6 - performance.now();

/** CLOCK_MONOTONIC in ms: the same in every process of the machine, whatever the wall clocks are set to. */
export function now() {
  return origin + performance.now();
}

/** The promise, or an error that names it after `ms`: no step of a fault may hang the run. */
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

/** Asks until the answer is truthy, and returns it; undefined when it is not within `ms`. */
export async function until(ms, ask, every = 20) {
  for (const end = now() + ms; ;) {
    const answer = await ask();
    if (answer) return answer;
    if (now() > end) return undefined;
    await sleep(every);
  }
}
