'use strict';
// The scheduling delays of this process: no promise can settle in time while its threads do not run.

const { readFileSync, readdirSync } = require('node:fs');
const { now } = require('./clock.cjs');

const TICK_MS = 10;
/** A tick this late is a stall; Node's timers are late by less anyway. */
const STALL_MS = 15;
/** A thread that was runnable for so long without a processor; any thread waits for less. */
const QUEUED_MS = 5;
/** The addon's I/O thread. */
const IO_THREAD = 'rate-limit-io';
/** A new thread is found within this time. */
const SEARCH_EVERY_MS = 200;

/**
 * Measures this process, until it ends:
 *   stalls   `[from, to, ms, queuedMs]` for each interval in which no JavaScript timer ran although one was due: its
 *            length, and the part in which the thread waited for a processor. A promise cannot settle in a stall,
 *            however punctual the limiter is
 *   queued   `[from, to, ms]`: the addon's thread waited `ms` for a processor in that interval
 *   queuedMain  the same for the JavaScript thread, outside of stalls
 */
function measureSchedulingDelays() {
  const waits = { stalls: [], queued: [], queuedMain: [] };
  const main = new Thread('/proc/thread-self');
  let io;
  let searchAt = 0;
  let last = now();
  setInterval(() => {
    const at = now();
    const ownMs = main.queuedMs();
    const lateMs = at - last - TICK_MS;
    if (lateMs > STALL_MS) waits.stalls.push([last + TICK_MS, at, lateMs, ownMs]);
    else if (ownMs > QUEUED_MS) waits.queuedMain.push([last, at, ownMs]);
    if (io === undefined && at > searchAt) {
      io = ioThread();
      searchAt = at + SEARCH_EVERY_MS;
    }
    const queuedMs = io?.queuedMs() ?? 0;
    if (queuedMs > QUEUED_MS) waits.queued.push([last, at, queuedMs]);
    if (io?.ended) io = undefined;
    last = at;
  }, TICK_MS).unref();
  return waits;
}

function ioThread() {
  try {
    const folders = readdirSync('/proc/self/task').map((id) => `/proc/self/task/${id}`);
    const folder = folders.find((folder) => readFileSync(`${folder}/comm`, 'utf8').trim() === IO_THREAD);
    return folder && new Thread(folder);
  } catch {
    // A thread has just ended, or the system is not Linux.
    return undefined;
  }
}

/** A thread of Linux. On other systems the waits for a processor are unknown. */
class Thread {
  ended = false;
  #file;
  #last = 0;

  constructor(folder) {
    this.#file = `${folder}/schedstat`;
    this.queuedMs();
  }

  /** The time that it waited for a processor since the last call. */
  queuedMs() {
    try {
      // Nanoseconds on a processor, nanoseconds of waiting for one, and the number of time slices.
      const total = Number(readFileSync(this.#file, 'latin1').split(' ')[1]) / 1e6;
      const ms = total - this.#last;
      this.#last = total;
      return ms;
    } catch {
      this.ended = true;
      return 0;
    }
  }
}

module.exports = { Thread, measureSchedulingDelays };
