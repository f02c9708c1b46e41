// The screenshots of the documentation: SCREENSHOTS=1 writes them, and waits for a meaningful chart.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, BrowserContextOptions } from 'playwright-core';
import { type RedisServer, startRedis } from '../../support/redis';
import { type App, startApp } from '../support/app';
import { launch, signedIn, TOKEN } from './operator-page';
import { traffic } from './traffic';

jest.setTimeout(240_000);

const FOLDER = join(__dirname, '..', '..', '..', 'docs', 'img');
const WRITE_FILES = process.env.SCREENSHOTS === '1';
const MAX_BYTES = 200 * 1024;

const VIEWS: Record<string, BrowserContextOptions> = {
  light: { colorScheme: 'light', viewport: { width: 1200, height: 820 } },
  dark: { colorScheme: 'dark', viewport: { width: 1200, height: 820 } },
  phone: { colorScheme: 'light', viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true },
};

let redis: RedisServer;
let app: App;
let browser: Browser;
let sending: ReturnType<typeof traffic>;

beforeAll(async () => {
  redis = await startRedis();
  app = await startApp({ env: { RATE_LIMIT_OPERATOR_TOKEN: TOKEN, REDIS_URL: redis.url } });
  browser = await launch();
  sending = traffic(app, 36);
  await new Promise((resolve) => setTimeout(resolve, WRITE_FILES ? 75_000 : 8000));
});

afterAll(async () => {
  await sending?.stop();
  await browser?.close();
  await app?.stop();
  await redis?.stop();
});

test.each(Object.keys(VIEWS))('a screenshot under traffic, %s', async (name) => {
  const context = await browser.newContext(VIEWS[name]);
  const page = await signedIn(context, app);
  await page.locator('.anomalies li').first().waitFor();
  await page.locator('.creators tbody tr').nth(9).waitFor();
  // The pointer is still where it signed in and would open a tooltip.
  await page.mouse.move(0, 0);
  const picture = await page.screenshot();
  expect(picture.byteLength).toBeLessThan(MAX_BYTES);
  if (WRITE_FILES) {
    mkdirSync(FOLDER, { recursive: true });
    writeFileSync(join(FOLDER, `rate-limits-${name}.png`), picture);
  }
  await context.close();
});
