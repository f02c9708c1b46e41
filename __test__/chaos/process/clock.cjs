'use strict';
// CLOCK_MONOTONIC in ms: the same in every process of the machine, whatever the wall clocks are set to.

const { performance } = require('node:perf_hooks');

const origin = Number(process.hrtime.bigint()) / 1e6 - performance.now();

function now() {
  return origin + performance.now();
}

/** What a moment of this process's wall clock is later by than the same of the monotonic clock. */
function wallOffset() {
  return Date.now() - now();
}

module.exports = { now, wallOffset };
