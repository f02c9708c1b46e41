// npm run test:app: the package in a Next.js application, built by both bundlers and asked over HTTP and in a browser. The
// last line is the count of tests. `-- --no-build` takes what is packed in dist/; what else is given goes to Jest.

import { installApp } from './app.mjs';
import { chromium } from './chromium.mjs';
import { install } from './install.mjs';
import { pack } from './pack.mjs';
import { redisServer } from './redis-server.mjs';
import { asMain } from './run.mjs';
import { inOrder, jest } from './steps.mjs';

const CONFIG = '__test__/app/jest.config.cjs';

const steps = (builds, options) => [
  { name: 'install', command: 'node scripts/install.mjs', does: () => install() },
  ...(builds ? [{ name: 'pack', command: 'npm run pack:local', does: () => pack() }] : []),
  { name: 'redis-server', command: 'node scripts/redis-server.mjs', does: redisServer },
  { name: 'chromium', command: 'node scripts/chromium.mjs', does: chromium },
  { name: 'packages of the application', command: 'node scripts/app.mjs', does: installApp },
  { name: 'jest', command: `npx jest --config ${CONFIG}`, does: () => jest('--config', CONFIG, ...options) },
];

await asMain(import.meta.url, (...args) => {
  const options = args.filter((arg) => arg !== '--no-build');
  return inOrder(steps(options.length === args.length, options));
});
