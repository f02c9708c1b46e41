import { Worker } from 'node:worker_threads';

// No test depends on the load of the machine, and none on its best attempt. A time bound only turns a hang into a
// failure, and is HANG_MS. An attempt is repeated because it took too long, not because of its result. A figure that
// depends on the machine is compared with a control of the same run, and the median of several is judged.

/** The bound that only ends a hang: the deadline of a check that Redis has to decide, and the budget of its connect. */
export const HANG_MS = 60_000;

/**
 * Resolves after `ms` on the machine's clock, which its servers share. setTimeout alone may fire a fraction of a
 * millisecond early.
 */
export async function pass(ms: number): Promise<void> {
  const until = performance.now() + ms;
  do await new Promise((resolve) => setTimeout(resolve, Math.max(1, until - performance.now())));
  while (performance.now() < until);
}

/** Resolves when `holds` returns true. */
export async function until(holds: () => boolean): Promise<void> {
  const end = performance.now() + HANG_MS;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`it has not come to this within ${HANG_MS} ms: ${holds.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/**
 * The result of the first attempt that takes less than `ms`. A slower attempt proves nothing about a window of `ms`.
 * One millisecond less, because the stores count whole ones: 249.5 of them may be 250 there.
 */
export async function within<T>(ms: number, attempt: () => Promise<T>): Promise<T> {
  return tryUntil(attempt, (_, took) => took < ms - 1, `no attempt has taken less than ${ms} ms`);
}

/**
 * The result of the first attempt that `serves` accepts. An assertion of the test must not be among its conditions: a
 * product that is only sometimes right would pass.
 */
export async function tryUntil<T>(
  attempt: () => Promise<T>,
  serves: (result: T, took: number) => boolean,
  otherwise = 'no attempt has served',
): Promise<T> {
  const end = performance.now() + HANG_MS;
  for (;;) {
    const began = performance.now();
    const result = await attempt();
    if (serves(result, performance.now() - began)) return result;
    if (performance.now() > end) throw new Error(`${otherwise}: ${JSON.stringify(result)}`);
  }
}

/**
 * Repeats a call while the connect times out. The variables of the environment give it the default budget, one second,
 * and a busy machine may need more.
 */
export async function despiteConnectTimeouts<T>(ask: () => Promise<T>): Promise<T> {
  const attempt = () =>
    ask().then(
      (value) => ({ value }),
      (error: NodeJS.ErrnoException) => {
        if (error.code !== 'ETIMEDOUT') throw error;
        return undefined;
      },
    );
  return (await tryUntil(attempt, (result) => result !== undefined, 'each connect has run out of time'))!.value;
}

/** Odd, so that one of the measurements is the median. */
const MEASUREMENTS = 5;

/** Expects the median of five measurements to be at most `bound`. Three on one side of the bound decide that. */
export async function expectMedian(bound: number, measure: () => Promise<number>): Promise<void> {
  const [most, least]: [number[], number[]] = [[], []];
  while (Math.max(most.length, least.length) <= MEASUREMENTS / 2) {
    const measured = await measure();
    (measured <= bound ? least : most).push(measured);
  }
  if (least.length > most.length) return;
  throw new Error(`the median is more than ${bound}: ${most.join(', ')} were, ${least.join(', ') || 'none'} not`);
}

/** The most that a call may settle later than its control. */
const SLACK_MS = 50;

/**
 * Expects the promise of `call` to settle `ms` after the call. Never earlier; and, in the median of five rounds, no
 * later than a timer of `ms` that another thread of this process starts at the same moment, as seen by this thread.
 * Assertions about the result belong in `examine`, whose time is not the product's: 300 assertions of Jest can take
 * longer than the slack.
 */
export async function expectDeadline<T>(
  ms: number,
  call: () => Promise<T>,
  examine: (result: T) => void,
): Promise<void> {
  const timer = new Worker(
    `const { parentPort } = require('node:worker_threads');
     parentPort.on('message', (ms) => setTimeout(() => parentPort.postMessage(ms), ms)).postMessage('ready');`,
    { eval: true },
  );
  const heard = () => new Promise((resolve, reject) => timer.once('message', resolve).once('error', reject));
  try {
    await heard();
    await expectMedian(SLACK_MS, async () => {
      const began = performance.now();
      const timed = <R>(done: Promise<R>) => done.then((result) => ({ result, took: performance.now() - began }));
      const control = timed(heard());
      timer.postMessage(ms);
      const { result, took } = await timed(call());
      const excess = took - (await control).took;
      // The deadline is in whole milliseconds, from a rounded start.
      expect(took).toBeGreaterThanOrEqual(ms - 2);
      examine(result);
      return excess;
    });
  } finally {
    await timer.terminate();
  }
}
