// For how long a check, or what it needs, had to wait for a processor or for a process that stood still. A claim of time is judged
// without it, and so the same on a busy machine as on an idle one. It is measured, never assumed.

import processWaits from './process/waits.cjs';
import { now } from './time.mjs';

const { Thread, watchWaits } = processWaits;

const TICK_MS = 10;

/** What the servers of a fault, and the suite's own process with the proxies in it, waited for. */
export class Waits {
  #own = watchWaits();
  #servers = new Map();
  #timer;

  /** @param pids of the servers that run: asked again and again, they are killed and started */
  constructor(pids) {
    let last = now();
    this.#timer = setInterval(() => {
      const at = now();
      for (const pid of pids()) {
        if (!this.#servers.has(pid)) this.#servers.set(pid, { thread: new Thread(`/proc/${pid}`), queued: [] });
        const { thread, queued } = this.#servers.get(pid);
        const ms = thread.queuedMs();
        if (ms > 1) queued.push([last, at, ms]);
      }
      last = at;
    }, TICK_MS);
    this.#timer.unref();
  }

  /** Of the suite's process and of the server that waited most. */
  within(from, to) {
    const servers = [...this.#servers.values()].map(({ queued }) => queuedWithin(queued, from, to));
    return this.ownStalls(from, to) + Math.max(0, ...servers);
  }

  /** For how long the suite's process stood still. */
  ownStalls(from, to) {
    return sumWithin(this.#own.stalls, from, to);
  }

  close() {
    clearInterval(this.#timer);
  }
}

/** Of stretches `[from, to, ms]` in their order, those that overlap with this one. Without ms, a stretch counts as far as it
 *  overlaps. */
export function sumWithin(stretches, from, to, msOf = ([begin, end]) => Math.min(to, end) - Math.max(from, begin)) {
  let sum = 0;
  for (let i = firstEndingAfter(stretches, from); i < stretches.length && stretches[i][0] < to; i++) {
    sum += msOf(stretches[i]);
  }
  return sum;
}

/** The whole of what was waited for in stretches that overlap: where in them it was is not known. */
export function queuedWithin(queued, from, to) {
  return sumWithin(queued, from, to, ([, , ms]) => ms);
}

function firstEndingAfter(stretches, from) {
  let [low, high] = [0, stretches.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (stretches[middle][1] <= from) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** How long a process stood still or its thread for I/O waited, in a stretch. */
export function waitedMs({ stalls, queued }, from, to) {
  return sumWithin(stalls, from, to) + queuedWithin(queued, from, to);
}
