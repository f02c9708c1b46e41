import { Worker } from 'node:worker_threads';

// No test is decided by how busy the machine is. A bound in time only turns a hang into a failure, and is the one below; what
// has to happen within a window is tried until it has; and a deadline is judged against a timer of the same run.

/** The deadline of a check that the store is to decide, and the budget of its connect: the longest there are. */
export const HANG_MS = 60_000;

/**
 * Resolves once `ms` have passed on the machine's clock, which the servers on it share. setTimeout alone may fire a
 * fraction of a millisecond early.
 */
export async function pass(ms: number): Promise<void> {
  const until = performance.now() + ms;
  do await new Promise((resolve) => setTimeout(resolve, Math.max(1, until - performance.now())));
  while (performance.now() < until);
}

/** Resolves once `holds` does. */
export async function until(holds: () => boolean): Promise<void> {
  const end = performance.now() + HANG_MS;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`it has not come to this within ${HANG_MS} ms: ${holds.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** What the first of several attempts resolves to that takes less than `ms`: a slower one says nothing of a window of `ms`. */
export async function within<T>(ms: number, attempt: () => Promise<T>): Promise<T> {
  return tryUntil(attempt, (_, took) => took < ms, `no attempt has taken less than ${ms} ms`);
}

/** What the first of several attempts resolves to that `serves`. */
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

/** Beyond its control in the same round, what settles by a deadline may take this long. */
const SLACK_MS = 50;

/** A machine that is busy delays one of the two in this many rounds one after the other only if it does so for good. */
const ROUNDS = 20;

/**
 * Expects what `call` begins to settle `ms` later: never earlier, and no later than a timer of as many milliseconds that another
 * thread of this process was asked for at the same moment, as this thread hears of it. A round in which the machine held up
 * one and not the other is repeated.
 */
export async function expectDeadline(ms: number, call: () => Promise<unknown>): Promise<void> {
  const timer = new Worker(
    `const { parentPort } = require('node:worker_threads');
     parentPort.on('message', (ms) => setTimeout(() => parentPort.postMessage(ms), ms)).postMessage('ready');`,
    { eval: true },
  );
  const heard = () => new Promise((resolve, reject) => timer.once('message', resolve).once('error', reject));
  const late: number[] = [];
  try {
    await heard();
    for (let round = 0; round < ROUNDS; round++) {
      const began = performance.now();
      const took = (done: Promise<unknown>) => done.then(() => performance.now() - began);
      const control = took(heard());
      timer.postMessage(ms);
      const measured = await took(call());
      // The deadline is counted in whole milliseconds, from a moment that was rounded.
      expect(measured).toBeGreaterThanOrEqual(ms - 2);
      late.push(measured - (await control));
      if (late.at(-1)! <= SLACK_MS) return;
    }
  } finally {
    await timer.terminate();
  }
  throw new Error(
    `later than a timer of ${ms} ms in each of ${ROUNDS} rounds, by ms: ${late.map(Math.round).join(' ')}`,
  );
}
