// The results of a test program: printed on its last line, and written to a file for a calling program.

import { writeFileSync } from 'node:fs';

let results;

/**
 * Adds to the results of this process. When it ends, it prints the sum as its last line, `N passed, N failed`.
 *
 * @param tests the times of single tests, as `{ name, seconds }`
 * @param failures the failures, as `{ name, message }`
 */
export function addResults(passed, failed, tests = [], failures = []) {
  startResults();
  results.passed += passed;
  results.failed += failed;
  results.tests.push(...tests);
  results.failures.push(...failures);
}

/** Prints a line, and repeats it in the summary of a command that runs this program as one of its steps. */
export function addNote(text) {
  startResults();
  console.log(text);
  results.notes.push(text);
}

function startResults() {
  if (results !== undefined) return;
  results = { passed: 0, failed: 0, tests: [], failures: [], notes: [] };
  process.once('exit', writeResults);
}

function writeResults() {
  if (process.env.TEST_RESULTS) writeFileSync(process.env.TEST_RESULTS, JSON.stringify(results));
  console.log(`${results.passed} passed, ${results.failed} failed`);
}
