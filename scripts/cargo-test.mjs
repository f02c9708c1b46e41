// cargo test, with its tests counted and timed: node scripts/cargo-test.mjs [OPTIONS OF THE TEST PROGRAM]

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addNote, addResults } from './test-results.mjs';
import { Failure, runIfMain, run, tee } from './run.mjs';
import { hostTarget, requireCargo } from './rust.mjs';

/** Most tests wait for their servers, and no result depends on the number of concurrent tests. */
const THREADS = 16;

/** Returns the names of the tests that ran. */
export async function cargoTest(...options) {
  requireCargo();
  // `--skip` applies to __test__/rust alone: all unit tests together take a few seconds.
  const isSkip = (option, at) => option.startsWith('--skip') || options[at - 1] === '--skip';
  const unit = await runTests(
    ['--lib'],
    options.filter((option, at) => !isSkip(option, at)),
  );
  const rust = await runTests(['--test', 'rust'], options);
  if (unit.code !== 0 || rust.code !== 0) throw new Failure('cargo test failed');
  if (options.length === 0) run('cargo', ['test', '--doc', '--locked']);
  return [...unit.names, ...rust.names];
}

/** Returns the names of the tests that ran, and the exit code. */
async function runTests(target, options) {
  const threads = `--test-threads=${THREADS}`;
  const args = ['test', '--locked', '--no-fail-fast', ...target, '--', ...REPORT_TIME, threads, ...options];
  const { result, repeats } = await collectRepeats((env) =>
    tee('cargo', args, { env: { ...process.env, ...unstableOptionsRunner(), ...env } }),
  );
  const { code, text } = result;
  const timed = [...text.matchAll(/^test (\S+) .*\.\.\. .*<([\d.]+)s>$/gm)];
  const tests = timed.map(([, name, seconds]) => ({ name, seconds: Number(seconds) }));
  const failures = [...text.matchAll(/^---- (\S+) stdout ----\n([^]*?)(?=^---- |^failures:$)/gm)].map(
    ([, name, message]) => ({ name, message }),
  );
  for (const [, passed, failed, ignored] of text.matchAll(
    /^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/gm,
  )) {
    addResults(Number(passed), Number(failed), tests.splice(0), failures.splice(0));
    if (Number(ignored) > 0) throw new Failure(`${ignored} tests are ignored: each has to run somewhere`);
  }
  reportRepeats(repeats);
  return { names: timed.map(([, name]) => name), code };
}

/** Tests of real-time budgets write a line to a file when they are repeated (`__test__/rust/starvation.rs`). */
async function collectRepeats(test) {
  const folder = mkdtempSync(join(tmpdir(), 'cargo-test-'));
  try {
    const file = join(folder, 'repeats');
    writeFileSync(file, '');
    const result = await test({ TEST_REPEATS: file });
    const repeats = readFileSync(file, 'utf8').split('\n').filter(Boolean);
    return { result, repeats };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function reportRepeats(repeats) {
  if (repeats.length === 0) return;
  const names = new Set(repeats.map((line) => line.split(' ')[0]));
  const tests = names.size === 1 ? '1 test was' : `${names.size} tests were`;
  addNote(`${tests} run again since the control waited: ${repeats.join(', ')}`);
}

/**
 * The options that print the time of each test. They are unstable: a stable test program accepts them only with
 * RUSTC_BOOTSTRAP.
 */
const REPORT_TIME = ['-Z', 'unstable-options', '--report-time'];

/** Sets RUSTC_BOOTSTRAP for the test program only: if it were set for cargo, cargo would rebuild everything. */
function unstableOptionsRunner() {
  return { [`CARGO_TARGET_${hostTarget().toUpperCase().replaceAll('-', '_')}_RUNNER`]: 'env RUSTC_BOOTSTRAP=1' };
}

await runIfMain(import.meta.url, cargoTest);
