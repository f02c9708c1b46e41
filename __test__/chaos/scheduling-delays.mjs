// For how long a check, or what it needs, had to wait for a processor or for a process that stood still. A claim of time is judged
// without it, and so the same on a busy machine as on an idle one. How long each thread waited is measured; for how long one of several
// did is estimated.
//
// A wait is `[from, to, ms]`: of that stretch, `ms` were spent waiting. Where in it is not known: each part has its share.

import processDelays from './process/scheduling-delays.cjs';
import { now } from './time.mjs';

const { Thread, measureSchedulingDelays } = processDelays;

const TICK_MS = 10;
/** Less is what any thread waits for. */
const QUEUED_MS = 1;

/** What the servers of a fault, and the suite's own process with the proxies in it, waited for. */
export class SchedulingDelays {
  /** The waits of each server, by pid. */
  servers = new Map();
  #own;
  #timer;

  /** @param pids of the servers that run: asked again and again, they are killed and started
   *  @param own the stalls of the suite's process; see process/scheduling-delays.cjs */
  constructor(pids, own = measureSchedulingDelays()) {
    this.#own = own;
    const threads = new Map();
    let last = now();
    this.#timer = setInterval(() => {
      const at = now();
      for (const pid of pids()) {
        if (!threads.has(pid)) {
          threads.set(pid, new Thread(`/proc/${pid}`));
          this.servers.set(pid, []);
        }
        const ms = threads.get(pid).queuedMs();
        if (ms > QUEUED_MS) this.servers.get(pid).push([last, at, ms]);
      }
      last = at;
    }, TICK_MS);
    this.#timer.unref();
  }

  /**
   * For how long the suite's process or a server waited in a stretch: of the servers, the one for which that is longest.
   *
   * @param process lists of waits of the process that asked a server, to be counted with those of the suite and of that server
   * @param nodes more lists of waits, each of one server
   */
  within(from, to, { process = [], nodes = [] } = {}) {
    const all = [...process, this.#own.stalls, this.#own.queuedMain];
    const withEach = [[], ...this.servers.values(), ...nodes].map((server) => unionMs([...all, server], from, to));
    return Math.max(...withEach);
  }

  /** For how long the suite's process stood still. */
  ownStalls(from, to) {
    return unionMs([this.#own.stalls], from, to);
  }

  close() {
    clearInterval(this.#timer);
  }
}

/**
 * For how much of a stretch there was a wait in one of the lists. Two waits that overlap may be of the same milliseconds, or one after
 * the other: a check passes from thread to thread. Where in its own stretch each of them was is not known, so they are taken for
 * independent: too much where they wait at the same time, too little where one waits after the other.
 */
export function unionMs(lists, from, to) {
  const waits = lists.flatMap((list) => overlapping(list, from, to));
  const edges = [...new Set(waits.flatMap(([begin, end]) => [begin, end]))].sort((a, b) => a - b);
  waits.sort(([a], [b]) => a - b);
  let [sum, next, open] = [0, 0, []];
  for (let i = 0; i + 1 < edges.length; i++) {
    const [begin, end] = [edges[i], edges[i + 1]];
    for (; next < waits.length && waits[next][0] <= begin; next++) open.push(waits[next]);
    open = open.filter(([, until]) => until > begin);
    sum += (end - begin) * (1 - open.reduce((idle, [, , share]) => idle * (1 - share), 1));
  }
  return sum;
}

/** The waits as far as they are in the stretch, each `[from, to, share]`. */
function overlapping(waits, from, to) {
  const found = [];
  for (let i = firstEndingAfter(waits, from); i < waits.length; i++) {
    const [began, ended, ms] = waits[i];
    // The kernel adds a wait when it ends: one that is longer than the stretch began before it.
    const since = Math.min(began, ended - ms);
    if (since >= to) break;
    found.push([Math.max(from, since), Math.min(to, ended), ms / (ended - since)]);
  }
  return found;
}

function firstEndingAfter(waits, from) {
  let [low, high] = [0, waits.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (waits[middle][1] <= from) low = middle + 1;
    else high = middle;
  }
  return low;
}
