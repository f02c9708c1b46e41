// What a program of tests has found: told on its last line, and in a file where another program asks for it.

import { writeFileSync } from 'node:fs';

let results;

/**
 * Adds to what this process has found. When it ends, it prints the sum as its last line, `N passed, N failed`.
 *
 * @param tests the time that single tests took, as `{ name, seconds }`
 */
export function count(passed, failed, tests = []) {
  if (results === undefined) {
    results = { passed: 0, failed: 0, tests: [] };
    process.once('exit', finish);
  }
  results.passed += passed;
  results.failed += failed;
  results.tests.push(...tests);
}

function finish() {
  if (process.env.TEST_RESULTS) writeFileSync(process.env.TEST_RESULTS, JSON.stringify(results));
  console.log(`${results.passed} passed, ${results.failed} failed`);
}
