// Scheduling delays: the time that a check, or a process that it needs, waited for a processor or was stopped. Claims
// about time are judged without them, and so the same on a busy machine as on an idle one. The delay of each thread is
// measured; that of several together is estimated.
//
// A wait is `[from, to, ms]`: in that interval, `ms` were spent waiting. Where in it is unknown, so it counts as evenly
// spread.

import processDelays from './process/scheduling-delays.cjs';
import { now } from './time.mjs';

const { Thread, measureSchedulingDelays } = processDelays;

const TICK_MS = 10;
/** Any thread waits for less. */
const QUEUED_MS = 1;

/** The delays of a fault's servers, and of the suite's own process with its proxies. */
export class SchedulingDelays {
  /** The waits of each server, by pid. */
  servers = new Map();
  #own;
  #timer;

  /**
   * @param pids returns the running servers: called repeatedly, since they are killed and started
   * @param own the stalls of the suite's process; see process/scheduling-delays.cjs
   */
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
   * The time that the suite's process or a server waited in an interval; of the servers, the one that waited longest.
   *
   * @param process lists of waits of the calling process, to be combined with those of the suite and of that server
   * @param nodes more lists of waits, each of one server
   */
  within(from, to, { process = [], nodes = [] } = {}) {
    const all = [...process, this.#own.stalls, this.#own.queuedMain];
    const withEach = [[], ...this.servers.values(), ...nodes].map((server) => unionMs([...all, server], from, to));
    return Math.max(...withEach);
  }

  /** The time for which the suite's process was stopped. */
  ownStalls(from, to) {
    return unionMs([this.#own.stalls], from, to);
  }

  close() {
    clearInterval(this.#timer);
  }
}

/**
 * The part of an interval with a wait in one of the lists. Two overlapping waits may be simultaneous or successive: a
 * check passes from thread to thread. Their position within their own interval is unknown, so they are treated as
 * independent: too much if they are simultaneous, too little if successive.
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

/** The waits within the interval, each `[from, to, share]`. */
function overlapping(waits, from, to) {
  const found = [];
  for (let i = firstEndingAfter(waits, from); i < waits.length; i++) {
    const [began, ended, ms] = waits[i];
    // The kernel adds a wait when it ends: one that is longer than the interval began before it.
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
