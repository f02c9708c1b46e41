'use strict';
// How long this process had to wait for a processor, or did nothing for another reason: nothing that it was to do then can be in time.

const { readFileSync, readdirSync } = require('node:fs');
const { now } = require('./clock.cjs');

const TICK_MS = 10;
/** A tick this late is a stall; less is what a timer of Node's is late by anyway. */
const STALL_MS = 15;
/** A thread that was runnable for so long without a processor; less is what any thread waits for. */
const QUEUED_MS = 5;
/** The addon's own thread, which does the I/O. */
const IO_THREAD = 'rate-limit-io';
/** A thread that is started is found within this. */
const SEARCH_EVERY_MS = 200;

/**
 * Watches this process, until it ends:
 *   stalls   `[from, to, ms, queuedMs]` of each stretch in which it ran no JavaScript timer although one was due: how long it is, and
 *            for how much of it the thread waited for a processor. A promise cannot settle in one, however punctual the limiter is
 *   queued   `[from, to, ms]`: for so long the addon's thread waited for a processor in that stretch
 *   queuedMain  the same of the thread that runs JavaScript, outside of stalls
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
    // One of them has just ended, or the system is not Linux.
    return undefined;
  }
}

/** A thread of Linux. Elsewhere nothing is known of how long one waits for a processor. */
class Thread {
  ended = false;
  #file;
  #last = 0;

  constructor(folder) {
    this.#file = `${folder}/schedstat`;
    this.queuedMs();
  }

  /** For how long it waited for a processor since this was asked last. */
  queuedMs() {
    try {
      // Nanoseconds on a processor, nanoseconds of waiting for one, and how often it got one.
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
