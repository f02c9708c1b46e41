'use strict';
// Checks the package as it is installed beside this file, in the Node.js that runs this: any from 20 on, of any platform,
// also an emulated one. Plain JavaScript without packages. A line for each property, the last with the count.
// scripts/test-platforms.mjs lays it out and starts it with
//   CHECK_PLATFORM    the platform whose binary must be the one loaded, such as linux-arm64-musl
//   CHECK_VERSION     the line of releases that this Node.js must be of, such as 22; any where it is not set
//   CHECK_NODE        how this Node.js is started, as a JSON list: under emulation process.execPath alone does not start
//   CHECK_REDIS_PORT  of a redis-server on loopback; without it there is the memory store alone
//   CHECK_REDIS_TLS_PORT, CHECK_REDIS_CA  its port for TLS and the file with its authority's certificate
// It must hold on a busy or a slow machine: time is the store's, as decisions tell it, and none is measured here.

const { loading } = require('./loading.cjs');
const { properties } = require('./properties.cjs');
const { window } = require('./window.cjs');
const { lifecycle } = require('./lifecycle.cjs');
const { stores } = require('./stores.cjs');

const suites = [
  loading,
  ...stores.flatMap((store) => [properties, window, lifecycle].map((suite) => () => suite(store))),
];

async function main() {
  let passed = 0;
  let failed = 0;
  for (const suite of suites) {
    for (const [name, check] of Object.entries(suite())) {
      try {
        const seen = await check();
        passed++;
        console.log(`ok ${name}${seen === undefined ? '' : `: ${seen}`}`);
      } catch (error) {
        failed++;
        console.log(`FAILED ${name}: ${error?.stack ?? error}`);
      }
    }
  }
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed > 0 ? 1 : 0;
}

void main();
