'use strict';
// The system resources of a process.

const { readdirSync } = require('node:fs');

/** @param ownBytes the memory that the suite itself uses in this process */
function footprint(ownBytes) {
  globalThis.gc?.();
  return {
    // The listing itself has an open descriptor.
    descriptors: readdirSync('/proc/self/fd').length - 1,
    threads: readdirSync('/proc/self/task').length,
    memory: process.memoryUsage.rss() - ownBytes,
  };
}

module.exports = { footprint };
