// Keeps a number of checks in flight: each is followed by the next the moment it is decided.

import { Latencies } from './latencies.mjs';

/**
 * The traffic of one measurement: every id in turn, in a shuffled order that is the same in every run. It goes on where
 * the last stretch ended, and each id is asked for at most `perId` times in all.
 */
export class Traffic {
  #ids;
  #most;
  #sent = 0;

  constructor(check, ids, perId = Infinity) {
    this.check = check;
    this.#ids = shuffled(ids);
    this.#most = ids.length * perId;
  }

  get sent() {
    return this.#sent;
  }

  /**
   * One stretch, over after `ms` or `most` checks: `{ checks, denied, ms, latencies }`. The end of a check is the
   * beginning of the next, so that the clock is read once a check.
   */
  async timed({ inFlight, ms, most = Infinity }) {
    const latencies = new Latencies();
    const end = this.#sent + Math.min(most, this.#most - this.#sent);
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
   * The same for checks that may be decided at once, and so fast that the driver would be what is measured: the clock is
   * read every now and then, when the event loop gets its turn too.
   */
  async counted({ inFlight, ms, most = Infinity }) {
    const first = this.#sent;
    const end = first + Math.min(most, this.#most - this.#sent);
    const start = performance.now();
    let [denied, over] = [0, false];
    const client = async () => {
      while (!over && this.#sent < end) {
        if (!(await this.check(this.#next()))) denied += 1;
        if (this.#sent % CHECKS_A_TURN === 0) {
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

/** Long enough that a turn of the event loop weighs nothing, short enough that a stretch ends in time. */
const CHECKS_A_TURN = 512;

export function idsOf(count, prefix = 'creator') {
  return Array.from({ length: count }, (_, i) => `${prefix}-${i}`);
}

/** Fisher and Yates, by a linear congruential generator with a fixed seed. */
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
