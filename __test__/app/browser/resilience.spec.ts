// The server or its Redis becomes unavailable while a page is open.

import type { Browser } from 'playwright-core';
import { startRedis } from '../../support/redis';
import { startApp } from '../support/app';
import { metric, launch, signedIn, TOKEN, until } from './operator-page';
import { startTcpProxy } from './tcp-proxy';
import { chat } from './traffic';

jest.setTimeout(240_000);

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser?.close());

const env = { RATE_LIMIT_OPERATOR_TOKEN: TOKEN };

test('the page shows that it reconnects when the server stops, and the server does not wait for the page', async () => {
  const app = await startApp({ env });
  const page = await signedIn(await browser.newContext(), app);
  const stopped = app.stop();
  await page.locator('.connection[data-connection=reconnecting]').waitFor();
  expect(await page.locator('.connection').innerText()).toBe('Reconnecting…');
  // stop() fails if the server has to be killed, as it would if the server waited for the open stream.
  await stopped;
  // The last figures stay readable.
  expect(await page.locator('[data-metric=allowed]').count()).toBe(1);
  await page.context().close();
});

test('a broken connection is re-established without a reload', async () => {
  const app = await startApp({ env });
  const proxy = await startTcpProxy(app);
  const page = await signedIn(await browser.newContext(), proxy);
  await page.evaluate('window.loadedOnce = true');
  proxy.cut();
  await page.locator('.connection[data-connection=reconnecting]').waitFor();
  proxy.restore();
  await page.locator('.connection[data-connection=live]').waitFor();
  await chat(app, 'back', 'pro');
  await until(
    () => metric(page, 'allowed'),
    (n) => n > 0,
  );
  expect(await page.evaluate('window.loadedOnce')).toBe(true);
  await page.context().close();
  await proxy.stop();
  await app.stop();
});

test('a silent connection is detected and replaced', async () => {
  const app = await startApp({ env });
  const page = await signedIn(await browser.newContext(), app);
  // A network that drops every packet never answers earlier requests, not even after it works again.
  let swallowed = 0;
  await page.route('**/api/admin/session', () => void swallowed++);
  process.kill(app.pid, 'SIGSTOP');
  try {
    await page.locator('.connection[data-connection=reconnecting]').waitFor();
  } finally {
    process.kill(app.pid, 'SIGCONT');
  }
  await page.locator('.connection[data-connection=live]').waitFor();
  expect(swallowed).toBeGreaterThan(0);
  await page.context().close();
  await app.stop();
});

test('an expired session is shown, and the figures disappear', async () => {
  const app = await startApp({ env });
  const proxy = await startTcpProxy(app);
  const context = await browser.newContext();
  const page = await signedIn(context, proxy);
  await context.clearCookies();
  proxy.cut();
  proxy.restore();
  await page.locator('.connection[data-connection=ended]').waitFor();
  expect(await page.locator('[data-metric]').count()).toBe(0);
  await page.getByRole('button', { name: 'Sign in again' }).click();
  await page.getByLabel('Operator token').waitFor();
  await context.close();
  await proxy.stop();
  await app.stop();
});

test('an unavailable Redis shows in the breaker, the errors and the degraded decisions', async () => {
  const redis = await startRedis();
  const app = await startApp({ env: { ...env, REDIS_URL: redis.url } });
  const page = await signedIn(await browser.newContext(), app);
  expect(await chat(app, 'outage', 'pro')).toBe(200);
  await redis.stop();
  let running = true;
  const sending = (async () => {
    while (running) await chat(app, 'outage', 'business');
  })();
  await until(
    () => metric(page, 'degraded'),
    (n) => n > 0,
  );
  await until(
    () => page.locator('[data-metric=breaker]').innerText(),
    (state) => state !== 'closed',
  );
  expect(await metric(page, 'store-errors')).toBeGreaterThan(0);
  await page
    .getByRole('rowheader', { name: /^[A-Z_]+$/ })
    .first()
    .waitFor();

  // The page does not present this process's own counts as the store's.
  await page.locator('.creators').getByText('Redis is away: this process’s own admissions').waitFor();
  await page.getByLabel('Creator id').fill('outage');
  await page.getByRole('button', { name: 'Look up', exact: true }).click();
  await page.locator('.status-message').getByText('Redis is away: this answer is known to this process only').waitFor();
  await page.getByRole('button', { name: 'Reset the quota…' }).click();
  await page.getByRole('dialog').getByText('the reset is known to this process only').waitFor();
  await page.getByRole('dialog').getByRole('button', { name: 'Reset', exact: true }).click();
  await page.locator('.status-message').getByText('Redis is away: the reset is known to this process only').waitFor();
  running = false;
  await sending;
  await page.context().close();
  await app.stop();
});
