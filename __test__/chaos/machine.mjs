// How the machine itself is doing, while the faults are: others may be using it.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const PACE = fileURLToPath(new URL('process/pace.cjs', import.meta.url));

/** A machine that lets a sleeping process wake this late says nothing of time: a deadline is 250 ms. The suite's own traffic
 *  makes it some 50 ms. */
const STOOD_STILL_MS = 150;

/** What is judged by the clock, and so by the machine, too. What is exact is never judged again. */
const BY_THE_CLOCK = new Set(['I16', 'I18', 'relapse', 'still', 'bites', 'healthy', 'the row']);

export class Machine {
  #pace = fork(PACE, { stdio: 'ignore' });

  /** The longest that a sleeping process overslept since this was asked last, in ms. */
  async overslept() {
    const answer = once(this.#pace, 'message');
    this.#pace.send('how long');
    return (await answer)[0];
  }

  close() {
    this.#pace.disconnect();
  }
}

/** Whether a row that does not hold says more of the machine than of the limiter. */
export function isOfTheMachine({ holds, kinds }, oversleptMs) {
  return !holds && oversleptMs > STOOD_STILL_MS && kinds.every((kind) => BY_THE_CLOCK.has(kind));
}
