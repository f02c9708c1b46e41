// npm run test:all: the tests that npm test omits because they take long or need more: other servers, other platforms,
// all of chaos, load, the application, fuzzing, licences.

import { preparation } from './check.mjs';
import { runIfMain } from './run.mjs';
import { runSteps } from './steps.mjs';

const ready = ['packages', 'addon', 'redis-server'];

const steps = [
  ...preparation,
  { name: 'tarballs', command: 'npm run --silent pack:local -- --all', after: ['rust components', 'packages'] },
  { name: 'chaos', command: 'npm run --silent chaos -- --no-build --at-once=2 --out=target/chaos', after: ready },
  { name: 'slow specs', command: 'node scripts/jest-specs.mjs rest', after: ['tarballs', ...ready] },
  { name: 'application', command: 'npm run --silent test:app -- --no-build', after: ['tarballs', 'redis-server'] },
  { name: 'platforms', command: 'npm run --silent test:platforms', after: ['tarballs', 'redis-server'] },
  { name: 'servers', command: 'npm run --silent test:servers', after: ready },
  { name: 'planted defects', command: 'node scripts/simulate.mjs --defects', after: ['rust components'] },
  { name: 'fuzzing', command: 'npm run --silent fuzz', after: ['rust components'] },
  { name: 'dependencies', command: 'npm run --silent deny', after: ['rust components'] },
];

await runIfMain(import.meta.url, () => runSteps('npm run test:all', steps));
