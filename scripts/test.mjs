// npm test: whatever a change can break. What it leaves to npm run test:all is in scripts/test-all.mjs.

import { preparation, sources } from './check.mjs';
import { asMain } from './run.mjs';
import { runSteps } from './steps.mjs';

const tests = [
  { name: 'jest', command: 'node scripts/specs.mjs test', after: ['packages', 'addon', 'redis-server'] },
  { name: 'rust', command: 'node scripts/cargo-test.mjs', after: ['redis-server'] },
  {
    name: 'chaos',
    command: 'npm run --silent chaos -- --quick --no-build',
    after: ['packages', 'addon', 'redis-server'],
  },
  { name: 'rustdoc', command: 'npm run --silent doc', after: ['rust components'] },
];

await asMain(import.meta.url, () => runSteps('npm test', [...preparation, ...sources, ...tests]));
