'use strict';
// CLOCK_MONOTONIC in ms: the same in every process of the machine, whatever the wall clocks are set to.

function now() {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1000 + nanoseconds / 1e6;
}

/**
 * The wall clock minus the monotonic one. The two are read one after the other, and a delay in between is part of the
 * difference: of several readings the one with the shortest delay is used.
 */
function wallOffset() {
  let [least, offset] = [Infinity, 0];
  for (let i = 0; i < 20; i++) {
    const before = now();
    const wall = Date.now();
    const after = now();
    if (after - before >= least) continue;
    [least, offset] = [after - before, wall - (before + after) / 2];
  }
  return offset;
}

module.exports = { now, wallOffset };
