'use strict';
// What a process holds of the system.

const { readdirSync } = require('node:fs');

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

module.exports = { footprint };
