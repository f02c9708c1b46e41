// npm test: everything that must hold, in order, up to the first failure. The last line is the count of tests.

import { chaos } from '../__test__/chaos/run.mjs';
import { build } from './build.mjs';
import { install } from './install.mjs';
import { pack } from './pack.mjs';
import { redisServer } from './redis-server.mjs';
import { Failure, asMain, run, tee } from './run.mjs';
import { needComponents } from './rust.mjs';
import { count, inOrder, jest } from './steps.mjs';

// What is quick and what others build on comes first.
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
  { name: 'jest', command: 'npm run test:js', does: () => jest() },
  { name: 'chaos', command: 'npm run chaos -- --quick', does: quickChaos },
];

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

/** A fault that holds is a test that passed. */
async function quickChaos() {
  const rows = await chaos('--quick', '--no-build');
  const failed = rows.filter(({ holds }) => !holds);
  count(rows.length - failed.length, failed.length);
  if (failed.length > 0) throw new Failure(`chaos: ${failed.map(({ id }) => id).join(', ')} failed`);
}

await asMain(import.meta.url, () => inOrder(steps));
