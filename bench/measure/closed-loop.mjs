// Keeps a number of checks in flight: each decision starts the next check.

import { Latencies } from './latencies.mjs';

/**
 * The traffic of one measurement: every id in turn, in a shuffled order that is the same in every run. It continues
 * where the last interval ended, and each id is requested at most `perId` times in all.
 */
export class Traffic {
  #ids;
  #maxChecks;
  #sent = 0;

  constructor(check, ids, perId = Infinity) {
    this.check = check;
    this.#ids = shuffled(ids);
    this.#maxChecks = ids.length * perId;
  }

  get sent() {
    return this.#sent;
  }

  /**
   * Runs one interval, which ends after `ms` or `maxChecks` checks: `{ checks, denied, ms, latencies }`. A check starts
   * when the previous one of its client ends, so the clock is read once a check.
   */
  async runTimed({ inFlight, ms, maxChecks = Infinity }) {
    const latencies = new Latencies();
    const end = this.#sent + Math.min(maxChecks, this.#maxChecks - this.#sent);
    const start = performance.now();
    let denied = 0;
    const client = async () => {
      let began = performance.now();
      while (began - start < ms && this.#sent < end) {
        if (!(await this.check(this.#next()))) denied += 1;
        const now = performance.now();
        latencies.add(now - began);
        began = now;
      }
    };
    await Promise.all(Array.from({ length: inFlight }, client));
    return { checks: latencies.count, denied, ms: performance.now() - start, latencies };
  }

  /**
   * The same without latencies, for checks that may be decided synchronously: they are so fast that reading the clock
   * would dominate. The clock is read every CHECKS_PER_TICK checks, when the event loop runs, too.
   */
  async runCounted({ inFlight, ms, maxChecks = Infinity }) {
    const first = this.#sent;
    const end = first + Math.min(maxChecks, this.#maxChecks - this.#sent);
    const start = performance.now();
    let [denied, over] = [0, false];
    const client = async () => {
      while (!over && this.#sent < end) {
        if (!(await this.check(this.#next()))) denied += 1;
        if (this.#sent % CHECKS_PER_TICK === 0) {
          await new Promise(setImmediate);
          over ||= performance.now() - start >= ms;
        }
      }
    };
    await Promise.all(Array.from({ length: inFlight }, client));
    return { checks: this.#sent - first, denied, ms: performance.now() - start };
  }

  #next() {
    return this.#ids[this.#sent++ % this.#ids.length];
  }
}

/** Long enough that an iteration of the event loop is negligible, short enough that an interval ends in time. */
const CHECKS_PER_TICK = 512;

export function idsOf(count, prefix = 'creator') {
  return Array.from({ length: count }, (_, i) => `${prefix}-${i}`);
}

/** Fisher and Yates, with a linear congruential generator and a fixed seed. */
function shuffled(ids) {
  const order = [...ids];
  let state = 1;
  for (let i = order.length - 1; i > 0; i--) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const j = Math.floor((state / 2 ** 32) * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}
