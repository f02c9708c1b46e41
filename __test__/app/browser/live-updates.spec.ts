import type { Browser, BrowserContext, Page } from 'playwright-core';
import { type RedisServer, startRedis } from '../../support/redis';
import { type App, startApp } from '../support/app';
import { degradedDecisions } from '../support/bursts';
import { collectConsoleErrors, metric, launch, PAGE, signedIn, TOKEN, until } from './operator-page';
import { chat, chats, traffic } from './traffic';

jest.setTimeout(240_000);

let redis: RedisServer;
let app: App;
let browser: Browser;
let context: BrowserContext;
let page: Page;
let consoleErrors: string[];

beforeAll(async () => {
  redis = await startRedis();
  app = await startApp({ env: { RATE_LIMIT_OPERATOR_TOKEN: TOKEN, REDIS_URL: redis.url } });
  browser = await launch();
  context = await browser.newContext();
  page = await signedIn(context, app);
  consoleErrors = collectConsoleErrors(page);
});

afterAll(async () => {
  await browser?.close();
  await app?.stop();
  await redis?.stop();
});

test('figures update without a reload', async () => {
  await page.evaluate('window.loadedOnce = true');
  expect(await metric(page, 'allowed')).toBe(0);
  const sending = traffic(app);
  await until(
    () => metric(page, 'allowed'),
    (n) => n > 5,
  );
  await until(
    () => metric(page, 'denied'),
    (n) => n > 5,
  );
  // The charts update with them.
  const path = () => page.locator('[data-chart=traffic] .recharts-area-curve').first().getAttribute('d');
  const earlier = await path();
  await until(path, (now) => now !== null && now !== earlier);
  await sending.stop();
  await until(
    () => metric(page, 'allowed'),
    (n) => n === 0,
  );
  expect(await page.evaluate('window.loadedOnce')).toBe(true);
});

test('a chart has a text alternative: a sentence and a table', async () => {
  const sentence = await page.locator('[data-chart=traffic]').getAttribute('aria-label');
  expect(sentence).toMatch(
    /^Allowed [\d.,]+\/s, denied [\d.,]+\/s, degraded 0\/s now\. Most denials: [\d.,]+\/s at [\d:]{8}\./,
  );
  const traffic = page.getByRole('region', { name: 'Traffic, requests per second', exact: true });
  await traffic.getByText('By minute, as a table').click();
  const cells = await traffic.locator('tbody tr').first().locator('td').allInnerTexts();
  expect(cells).toHaveLength(4);
  await traffic.getByText('By minute, as a table').click();
});

test('the latency of Redis is drawn', async () => {
  await chat(app, 'latency', 'pro');
  const drawing = page.locator('[data-chart=latency]');
  await until(
    () => drawing.getAttribute('aria-label'),
    (label) => /Latest: p50 [\d.]+ ms, p95 [\d.]+ ms, p99 [\d.]+ ms/.test(label ?? ''),
  );
  expect(await drawing.locator('.recharts-line-curve').count()).toBe(3);
  expect(await page.locator('[data-info=store]').innerText()).toBe('Redis');
});

test('creators are sorted by usage', async () => {
  await chats(app, 'half', 'starter', 25);
  await chats(app, 'tenth', 'pro', 10);
  await chats(app, 'over', 'starter', 52);
  await page.mouse.move(0, 0);
  await until(
    () => page.locator('tr[data-creator=over] .usage-text').innerText(),
    (text) => text === '50 of 50 used up',
  );
  const rows = async () =>
    (await page.locator('.creators tbody .usage-text').allInnerTexts()).map((text) => {
      const [used, limit] = text.split(' of ').map((part) => Number.parseInt(part, 10));
      return used! / limit!;
    });
  const shares = await until(rows, (found) => found.length > 3);
  expect(shares).toEqual([...shares].sort((a, b) => b - a));
  expect(shares[0]).toBe(1);
  expect(await page.locator('tr[data-creator=over] .resets').innerText()).toMatch(/^(5\d min( \d+ s)?|1 h)$/);
});

test('an anomaly appears as it happens', async () => {
  // A check that the machine delays beyond its deadline may be counted by Redis and by the process: then another
  // creator is used.
  let eager = '';
  for (let attempt = 0, before = -1; (await degradedDecisions([app])) !== before; attempt++) {
    before = await degradedDecisions([app]);
    eager = `eager-${attempt}`;
    await chats(app, eager, 'starter', 100);
  }
  const entry = page.locator('.anomalies li').first();
  // A later anomaly is listed, and this one is not.
  await chats(app, 'later', 'starter', 101);
  await until(
    () => entry.innerText(),
    (text) => text.includes('later'),
  );
  expect(await page.locator('.anomalies').innerText()).not.toContain(eager);
  await chat(app, eager, 'starter');
  await until(
    () => entry.innerText(),
    (text) => text.includes(eager),
  );
  expect(await entry.innerText()).toMatch(/101 in 5 min, 100 is ordinary/);
});

test('a denied creator is looked up, reset and admitted again', async () => {
  await chats(app, 'stuck', 'starter', 50);
  expect(await chat(app, 'stuck', 'starter')).toBe(429);
  await page.getByLabel('Creator id').fill('stuck');
  await page.getByLabel('Plan').selectOption('starter');
  await page.getByRole('button', { name: 'Look up', exact: true }).click();
  const message = page.locator('.status-message');
  await until(
    () => message.innerText(),
    (text) => text.startsWith('stuck on starter: 50 of 50 used, nothing left.'),
  );

  // A reset needs confirmation.
  await page.getByRole('button', { name: 'Reset the quota…' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
  expect(await chat(app, 'stuck', 'starter')).toBe(429);

  await page.getByRole('button', { name: 'Reset the quota…' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Reset', exact: true }).click();
  await until(
    () => message.innerText(),
    (text) => text.startsWith('The quota of stuck was reset. stuck on starter: 0 of 50 used, 50 left.'),
  );
  expect(await message.getAttribute('aria-live')).toBe('polite');
  expect(await chat(app, 'stuck', 'starter')).toBe(200);
});

test('an id is rendered as text, with its invisible characters shown', async () => {
  const id = '<img src=x onerror=alert(1)>\u202e7';
  await chats(app, id, 'starter', 49);
  await until(
    () => page.locator('.creators tbody .id').allInnerTexts(),
    (ids) => ids.includes('<img src=x onerror=alert(1)>\\u{202e}7'),
  );
});

test('a stream is closed when its page is left', async () => {
  const openStreams = async () => Number(await page.locator('[data-info=open-streams]').innerText());
  expect(await openStreams()).toBe(1);
  const second = await context.newPage();
  await second.goto(page.url());
  await until(openStreams, (n) => n === 2);
  await second.close();
  await until(openStreams, (n) => n === 1);
});

test('a hidden page closes its stream, and reopens it when it is visible', async () => {
  const openStreams = async () => Number(await page.locator('[data-info=open-streams]').innerText());
  const second = await context.newPage();
  await second.goto(page.url());
  await until(openStreams, (n) => n === 2);
  // Headless Chromium reports every page as visible.
  const show = (state: string) =>
    second.evaluate(
      `Object.defineProperty(document, 'visibilityState', { value: '${state}', configurable: true });
       document.dispatchEvent(new Event('visibilitychange'));`,
    );
  await show('hidden');
  await until(openStreams, (n) => n === 1);
  await show('visible');
  await second.locator('.connection[data-connection=live]').waitFor();
  await until(openStreams, (n) => n === 2);
  await second.close();
  await until(openStreams, (n) => n === 1);
});

test('a slow answer does not replace a later one', async () => {
  await chats(app, 'slow', 'pro', 1);
  await chats(app, 'quick', 'pro', 2);
  let release = () => {};
  const released = new Promise<void>((resolve) => (release = resolve));
  await page.route('**/quota?creatorId=slow&*', async (route) => {
    await released;
    await route.continue();
  });
  const lookUpQuota = async (id: string) => {
    await page.getByLabel('Creator id').fill(id);
    await page.getByRole('button', { name: 'Look up', exact: true }).click();
  };
  const message = () => page.locator('.status-message').innerText();
  await lookUpQuota('slow');
  await lookUpQuota('quick');
  await until(message, (text) => text.startsWith('quick on '));
  const answered = page.waitForResponse(/creatorId=slow/);
  release();
  await (await answered).finished();
  // The page would show the late response by the second frame after it.
  await page.evaluate('new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))');
  expect(await message()).toMatch(/^quick on /);
  await page.unroute('**/quota?creatorId=slow&*');
});

test('after signing in the focus is on the heading', async () => {
  const other = await browser.newContext();
  const fresh = await signedIn(other, app);
  await fresh.locator('h1:focus').waitFor();
  await other.close();
});

test('an unknown refusal reason shows no message', async () => {
  for (const refused of ['__proto__', 'constructor', 'toString', 'nonsense']) {
    const response = await fetch(`${app.url}${PAGE}?refused=${refused}`);
    expect([refused, response.status]).toEqual([refused, 200]);
  }
});

test('the browser reported no error', () => {
  expect(consoleErrors).toEqual([]);
});
