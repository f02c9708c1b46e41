// cargo test, with its tests counted and timed: node scripts/cargo-test.mjs [OPTIONS OF THE TEST PROGRAM]

import { count } from './results.mjs';
import { Failure, asMain, output, tee } from './run.mjs';
import { needCargo } from './rust.mjs';

/** Most tests wait for their servers, and none is decided by how many run at once. */
const THREADS = 16;

/** Returns the names of the tests that ran. */
export async function cargoTest(...options) {
  needCargo();
  const threads = `--test-threads=${THREADS}`;
  const args = ['test', '--locked', '--no-fail-fast', '--lib', '--test', 'rust', '--', ...TIMED, threads, ...options];
  const { code, text } = await tee('cargo', args, { env: { ...process.env, ...runner() } });
  const timed = [...text.matchAll(/^test (\S+) .*\.\.\. .*<([\d.]+)s>$/gm)];
  const tests = timed.map(([, name, seconds]) => ({ name, seconds: Number(seconds) }));
  for (const [, passed, failed, ignored] of text.matchAll(
    /^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/gm,
  )) {
    count(Number(passed), Number(failed), tests.splice(0));
    if (Number(ignored) > 0) throw new Failure(`${ignored} tests are ignored: each has to run somewhere`);
  }
  if (code !== 0) throw new Failure('cargo test failed');
  return timed.map(([, name]) => name);
}

/** The time of each test is an unstable option of the test program, which a stable one takes when this is set for it... */
const TIMED = ['-Z', 'unstable-options', '--report-time'];

/** ... and for it alone: cargo would build everything anew. */
function runner() {
  const host = /^host: (\S+)$/m.exec(output('rustc', ['-vV']))[1];
  return { [`CARGO_TARGET_${host.toUpperCase().replaceAll('-', '_')}_RUNNER`]: 'env RUSTC_BOOTSTRAP=1' };
}

await asMain(import.meta.url, cargoTest);
