// What npm test and npm run test:app do: steps in order, up to the first failure. The last line is the count of tests.

import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Failure, root, run } from './run.mjs';

const jestResult = join(root, 'target', 'jest.json');
const tests = { passed: 0, failed: 0 };

/** Counts tests into the last line. */
export function count(passed, failed) {
  tests.passed += passed;
  tests.failed += failed;
}

/** Takes steps of `{ name, command, does }`; the command is what a developer runs to see a step alone. */
export async function inOrder(steps) {
  const start = Date.now();
  let failed;
  for (const [i, step] of steps.entries()) {
    console.log(`\n=== ${i + 1}/${steps.length} ${step.name}: ${step.command}`);
    const began = Date.now();
    try {
      await (step.does ?? (() => run(...split(step.command))))();
    } catch (error) {
      failed = step;
      console.error(error instanceof Failure ? `error: ${error.message}` : error);
    }
    console.log(`--- ${step.name} ${failed ? 'failed' : 'passed'} in ${seconds(began)}`);
    if (failed) break;
  }
  if (failed) {
    console.log(`\nStopped at ${failed.name}; to see it alone: ${failed.command}`);
    process.exitCode = 1;
    // A step that is no test, or a runner that died, counts as one failure: "0 failed" is for success alone.
    tests.failed ||= 1;
  }
  console.log(`\n${seconds(start)} in all`);
  console.log(`${tests.passed} passed, ${tests.failed} failed`);
}

/** Runs Jest and counts its tests; returns the names of those it left out. */
export function jest(...options) {
  mkdirSync(join(root, 'target'), { recursive: true });
  // The result of an earlier run must not be counted.
  rmSync(jestResult, { force: true });
  /** @type {Error | undefined} */
  let failure;
  let pending = [];
  try {
    run(
      process.execPath,
      ['node_modules/jest/bin/jest.js', '--ci', '--json', `--outputFile=${jestResult}`, ...options],
      {
        // The report goes to the file and to standard output, the readable text to standard error.
        stdio: ['ignore', 'ignore', 'inherit'],
      },
    );
  } catch (error) {
    failure = error;
  }
  if (existsSync(jestResult)) {
    const result = JSON.parse(readFileSync(jestResult, 'utf8'));
    count(result.numPassedTests, result.numFailedTests + result.numRuntimeErrorTestSuites);
    const tests = result.testResults.flatMap(({ assertionResults }) => assertionResults);
    pending = tests.filter(({ status }) => status === 'pending').map(({ fullName }) => fullName);
  }
  if (failure) throw failure instanceof Failure ? new Failure('jest failed') : failure;
  return { pending };
}

function split(command) {
  const [program, ...args] = command.split(' ');
  return [program, args];
}

function seconds(since) {
  return `${((Date.now() - since) / 1000).toFixed(1)} s`;
}
