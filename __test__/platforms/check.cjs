'use strict';
// Checks the package as it is installed next to this file, in the Node.js that runs this file: any version from 20 on,
// on any platform, also an emulated one. Plain JavaScript without packages. Prints a line for each property, and the
// count last. scripts/test-platforms.mjs lays it out and starts it with
//   CHECK_PLATFORM    the platform whose binary must be loaded, such as linux-arm64-musl
//   CHECK_VERSION     the release line that this Node.js must have, such as 22; any if it is not set
//   CHECK_NODE        the command that starts this Node.js, as a JSON list: under emulation process.execPath alone
//                     fails
//   CHECK_REDIS_PORT  of a redis-server on loopback; without it the memory store alone is tested
//   CHECK_REDIS_TLS_PORT, CHECK_REDIS_CA  its TLS port and the file with its CA certificate
// It must pass on a busy or a slow machine: times are those of the store's decisions, and none is measured here.

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
