// npm test: everything that a change is likely to break. The rest is in scripts/test-all.mjs.

import { preparation, sources } from './check.mjs';
import { runIfMain } from './run.mjs';
import { runSteps } from './steps.mjs';

const tests = [
  { name: 'jest', command: 'node scripts/jest-specs.mjs test', after: ['packages', 'addon', 'redis-server'] },
  { name: 'rust', command: 'node scripts/cargo-test.mjs', after: ['rust components', 'redis-server'] },
  { name: 'simulator', command: 'node scripts/simulate.mjs', after: ['rust components', 'clippy'] },
  {
    name: 'chaos',
    command: 'npm run --silent chaos -- --quick --no-build --at-once=2',
    after: ['packages', 'addon', 'redis-server'],
  },
  { name: 'fuzz targets', command: 'node scripts/fuzz.mjs --lint', after: ['rust components', 'clippy'] },
  { name: 'rustdoc', command: 'npm run --silent doc', after: ['rust components', 'clippy'] },
];

await runIfMain(import.meta.url, () => runSteps('npm test', [...preparation, ...sources, ...tests]));
