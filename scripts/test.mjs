// npm test: everything that must hold, in order, up to the first failure. The last line is the count of tests.

import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { chaos } from '../__test__/chaos/run.mjs';
import { build } from './build.mjs';
import { install } from './install.mjs';
import { pack } from './pack.mjs';
import { redisServer } from './redis-server.mjs';
import { Failure, asMain, root, run, tee } from './run.mjs';
import { needComponents } from './rust.mjs';

const jestResult = join(root, 'target', 'jest.json');
const tests = { passed: 0, failed: 0 };

// What is quick and what others build on comes first. The command is what a developer runs to see a step alone.
const steps = [
  { name: 'install', command: 'node scripts/install.mjs', does: install },
  { name: 'build', command: 'npm run build', does: build },
  { name: 'redis-server', command: 'node scripts/redis-server.mjs', does: redisServer },
  { name: 'rustfmt', command: 'cargo fmt --check', does: rustfmt },
  { name: 'prettier', command: 'npm run format:check', does: () => run('npm', ['run', '--silent', 'format:check']) },
  { name: 'clippy', command: 'cargo clippy --all-targets --locked -- -D warnings' },
  { name: 'types', command: 'npm run types', does: () => run('npm', ['run', '--silent', 'types']) },
  { name: 'rust tests', command: 'cargo test --locked --no-fail-fast', does: cargoTest },
  { name: 'pack', command: 'npm run pack:local', does: () => pack() },
  { name: 'jest', command: 'npm run test:js', does: jest },
  { name: 'chaos', command: 'npm run chaos -- --quick', does: quickChaos },
];

async function test() {
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

function rustfmt() {
  needComponents();
  run('cargo', ['fmt', '--check']);
}

async function cargoTest() {
  const { code, text } = await tee('cargo', ['test', '--locked', '--no-fail-fast']);
  for (const [, passed, failed] of text.matchAll(/^test result: \w+\. (\d+) passed; (\d+) failed/gm)) {
    count(Number(passed), Number(failed));
  }
  if (code !== 0) throw new Failure('cargo test failed');
}

function jest() {
  mkdirSync(join(root, 'target'), { recursive: true });
  // The result of an earlier run must not be counted.
  rmSync(jestResult, { force: true });
  let failure;
  try {
    run(process.execPath, ['node_modules/jest/bin/jest.js', '--ci', '--json', `--outputFile=${jestResult}`], {
      // The report goes to the file and to standard output, the readable text to standard error.
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  } catch (error) {
    failure = error;
  }
  if (existsSync(jestResult)) {
    const { numPassedTests, numFailedTests, numRuntimeErrorTestSuites } = JSON.parse(readFileSync(jestResult, 'utf8'));
    count(numPassedTests, numFailedTests + numRuntimeErrorTestSuites);
  }
  if (failure) throw failure instanceof Failure ? new Failure('jest failed') : failure;
}

/** A fault that holds is a test that passed. */
async function quickChaos() {
  const rows = await chaos('--quick', '--no-build');
  const failed = rows.filter(({ holds }) => !holds);
  count(rows.length - failed.length, failed.length);
  if (failed.length > 0) throw new Failure(`chaos: ${failed.map(({ id }) => id).join(', ')} failed`);
}

function count(passed, failed) {
  tests.passed += passed;
  tests.failed += failed;
}

function split(command) {
  const [program, ...args] = command.split(' ');
  return [program, args];
}

function seconds(since) {
  return `${((Date.now() - since) / 1000).toFixed(1)} s`;
}

await asMain(import.meta.url, test);
