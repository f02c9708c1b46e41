// What a program of tests has found: told on its last line, and in a file where another program asks for it.

import { writeFileSync } from 'node:fs';

let results;

/**
 * Adds to what this process has found. When it ends, it prints the sum as its last line, `N passed, N failed`.
 *
 * @param tests the time that single tests took, as `{ name, seconds }`
 * @param failures what failed and why, as `{ name, message }`
 */
export function count(passed, failed, tests = [], failures = []) {
  begin();
  results.passed += passed;
  results.failed += failed;
  results.tests.push(...tests);
  results.failures.push(...failures);
}

/** Shows a line, also in the summary of a command that runs this as one of its steps. */
export function note(text) {
  begin();
  console.log(text);
  results.notes.push(text);
}

function begin() {
  if (results !== undefined) return;
  results = { passed: 0, failed: 0, tests: [], failures: [], notes: [] };
  process.once('exit', finish);
}

function finish() {
  if (process.env.TEST_RESULTS) writeFileSync(process.env.TEST_RESULTS, JSON.stringify(results));
  console.log(`${results.passed} passed, ${results.failed} failed`);
}
