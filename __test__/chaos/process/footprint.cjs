'use strict';
// What a process holds of the system, and how long it stood still.

const { readdirSync } = require('node:fs');
const { now } = require('./clock.cjs');

const TICK_MS = 10;
/** A tick this late is a stall; less is what a timer of Node's is late by anyway. */
const STALL_MS = 15;

/** @param ownBytes what the suite itself keeps in this process */
function footprint(ownBytes) {
  globalThis.gc?.();
  return {
    // The folder that is being listed is open itself.
    descriptors: readdirSync('/proc/self/fd').length - 1,
    threads: readdirSync('/proc/self/task').length,
    memory: process.memoryUsage.rss() - ownBytes,
  };
}

/**
 * Watches the event loop: `[from, to]` of each stretch in which this process ran no JavaScript timer although one was due.
 * A promise cannot settle in one, however punctual the limiter is.
 */
function watchStalls() {
  const stalls = [];
  let last = now();
  setInterval(() => {
    const at = now();
    if (at - last - TICK_MS > STALL_MS) stalls.push([last + TICK_MS, at]);
    last = at;
  }, TICK_MS).unref();
  return stalls;
}

module.exports = { footprint, watchStalls };
