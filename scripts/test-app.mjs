// npm run test:app: the package in a Next.js application, built by both bundlers and tested over HTTP and in a browser.
// The last line is the count of tests. `-- --no-build` uses the tarballs in dist/; other options are passed to Jest.

import { installApp } from './example-app.mjs';
import { chromium } from './chromium.mjs';
import { install } from './install.mjs';
import { jest } from './jest.mjs';
import { pack } from './pack.mjs';
import { redisServer } from './redis-server.mjs';
import { runIfMain } from './run.mjs';

export function testApp(...args) {
  const options = args.filter((arg) => arg !== '--no-build');
  install();
  if (options.length === args.length) pack();
  redisServer();
  chromium();
  installApp();
  jest('--config', '__test__/app/jest.config.cjs', ...options);
}

await runIfMain(import.meta.url, testApp);
