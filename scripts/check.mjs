// npm run check: the quick checks, in two minutes: the sources, and the unit and contract tests on memory and one
// Redis.

import { runIfMain } from './run.mjs';
import { runSteps } from './steps.mjs';

/** Prepares what the other steps need, also in a fresh clone. */
export const preparation = [
  // This step is first: two concurrent cargos would both install the toolchain that rust-toolchain.toml pins.
  { name: 'rust components', command: 'node scripts/rust.mjs' },
  { name: 'packages', command: 'node scripts/install.mjs' },
  { name: 'addon', command: 'npm run --silent build', after: ['rust components'] },
  { name: 'redis-server', command: 'node scripts/redis-server.mjs' },
];

/** Checks of the sources without running them. */
export const sources = [
  { name: 'rustfmt', command: 'cargo fmt --check', after: ['rust components'] },
  { name: 'prettier', command: 'npm run --silent format:check', after: ['packages'] },
  { name: 'lint', command: 'npm run --silent lint', after: ['packages'] },
  { name: 'types', command: 'npm run --silent types', after: ['packages'] },
  { name: 'clippy', command: 'cargo clippy --all-targets --locked -- -D warnings', after: ['rust components'] },
];

const tests = [
  // All unit tests; of the others, the excluded modules are listed, so that a new one is included.
  {
    name: 'rust',
    command: 'node scripts/cargo-test.mjs --skip redis_cluster --skip test_cluster',
    after: ['rust components', 'redis-server'],
  },
  { name: 'jest', command: 'node scripts/jest-specs.mjs check', after: ['packages', 'addon', 'redis-server'] },
];

await runIfMain(import.meta.url, () => runSteps('npm run check', [...preparation, ...sources, ...tests]));
