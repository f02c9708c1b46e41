// Jest, with its tests counted: node scripts/jest.mjs [OPTIONS OF JEST]

import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { addResults } from './test-results.mjs';
import { Failure, runIfMain, root, run } from './run.mjs';

const folder = join(root, 'target', 'jest');

export function jest(...options) {
  mkdirSync(folder, { recursive: true });
  const report = join(folder, `${process.pid}.json`);
  try {
    const args = ['node_modules/jest/bin/jest.js', '--ci', '--json', `--outputFile=${report}`, ...options];
    // The report goes to the file and to standard output, the readable text to standard error.
    run(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  } catch (error) {
    throw error instanceof Failure ? new Failure('jest failed') : error;
  } finally {
    if (existsSync(report)) countReport(JSON.parse(readFileSync(report, 'utf8')), options);
    rmSync(report, { force: true });
  }
}

function countReport(report, options) {
  const { numPassedTests, numFailedTests, numRuntimeErrorTestSuites, testResults } = report;
  const tests = testResults.flatMap(({ name, assertionResults }) =>
    assertionResults.map(({ fullName, duration }) => ({
      name: `${name.slice(join(root, '__test__/').length)}: ${fullName}`,
      seconds: (duration ?? 0) / 1000,
    })),
  );
  const failures = testResults.flatMap(({ name, message, assertionResults }) => {
    const failed = assertionResults.filter(({ status }) => status === 'failed');
    const file = name.slice(join(root, '__test__/').length);
    // A file that failed to run has no tests.
    if (failed.length === 0 && message !== '' && assertionResults.length === 0) return [{ name: file, message }];
    return failed.map(({ fullName, failureMessages }) => ({
      name: `${file}: ${fullName}`,
      message: failureMessages.join('\n'),
    }));
  });
  addResults(numPassedTests, numFailedTests + numRuntimeErrorTestSuites, tests, failures);
  // With a name pattern, the other tests are skipped on purpose.
  const named = options.some((option) => /^(-t|--testNamePattern)/.test(option));
  const skipped = report.numPendingTests + report.numTodoTests;
  if (skipped > 0 && !named) throw new Failure(`${skipped} tests were skipped: each has to run somewhere`);
}

await runIfMain(import.meta.url, jest);
