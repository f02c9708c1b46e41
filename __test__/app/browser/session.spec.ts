// Pages and streams end with the session: at its expiry, and by signing out.

import type { Browser } from 'playwright-core';
import { type App, startApp } from '../support/app';
import { API, historyOf, launch, PAGE, signedCookie, signedIn, TOKEN, until } from './operator-page';

jest.setTimeout(240_000);

let app: App;
let browser: Browser;

beforeAll(async () => {
  app = await startApp({ env: { RATE_LIMIT_OPERATOR_TOKEN: TOKEN } });
  browser = await launch();
});

afterAll(async () => {
  await browser?.close();
  await app?.stop();
});

const NAME = 'rate_limit_operator';
const sessionUntil = (end: number) => signedCookie(`${end}.nonce-of-a-test-`);

/** Lifetimes of a session in ms: a busy machine may need longer than the first to use it at all. */
const LIFETIMES_MS = [5000, 15_000, 60_000];

async function streamOf(headers: Record<string, string>) {
  const response = await fetch(`${app.url}${API}/stream`, { headers });
  if (response.status === 401) return undefined;
  expect(response.status).toBe(200);
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  return {
    next: () => reader.read(),
    close: () => reader.cancel(),
  };
}

/** Opens a resource by `open`, with a session that lasts long enough for it. */
async function openWithinSession<T>(
  open: (end: number) => Promise<T | undefined>,
): Promise<{ end: number; opened: T }> {
  for (const life of LIFETIMES_MS) {
    const end = Date.now() + life;
    const opened = await open(end);
    if (opened !== undefined) return { end, opened };
    // Refused as expired, and for no other reason.
    expect(Date.now()).toBeGreaterThanOrEqual(end);
  }
  throw new Error(`nothing opens within ${LIFETIMES_MS.at(-1)} ms`);
}

/** The number of open streams, as reported to an API client that opens one more. */
async function openStreams(): Promise<number> {
  return (await historyOf(app)).processInfo.openStreams - 1;
}

test('a stream ends when its session does, and the others go on', async () => {
  const { end, opened: brief } = await openWithinSession(async (end) =>
    streamOf({ Cookie: `${NAME}=${sessionUntil(end)}` }),
  );
  const long = (await streamOf({ Cookie: `${NAME}=${sessionUntil(end + 3_600_000)}` }))!;
  while (!(await brief.next()).done);
  // A timer of Node.js may fire a millisecond early.
  expect(Date.now()).toBeGreaterThanOrEqual(end - 5);
  await until(openStreams, (n) => n === 1);
  await long.close();
  await until(openStreams, (n) => n === 0);
});

test('a page reports an expired session, and shows no figures any more', async () => {
  const context = await browser.newContext();
  context.setDefaultTimeout(90_000);
  const { end, opened: page } = await openWithinSession(async (end) => {
    const cookie = { name: NAME, value: sessionUntil(end), domain: '127.0.0.1' };
    await context.addCookies([PAGE, '/api/admin'].map((path) => ({ ...cookie, path })));
    const page = await context.newPage();
    await page.goto(app.url + PAGE);
    const shown = page.locator('[data-metric=allowed]');
    await shown
      .or(page.locator('.connection[data-connection=ended]'))
      .or(page.getByLabel('Operator token'))
      .first()
      .waitFor();
    return (await shown.count()) === 1 ? page : undefined;
  });
  await page.locator('.connection[data-connection=ended]').waitFor();
  expect(Date.now()).toBeGreaterThanOrEqual(end - 5);
  expect(await page.locator('[data-metric]').count()).toBe(0);
  await until(openStreams, (n) => n === 0);
  await context.close();
});

test('signing out in one tab ends the others', async () => {
  const context = await browser.newContext();
  const other = await browser.newContext();
  const [page, otherBrowser] = [await signedIn(context, app), await signedIn(other, app)];
  const secondTab = await context.newPage();
  await secondTab.goto(app.url + PAGE);
  await secondTab.locator('[data-metric=allowed]').waitFor();
  await until(openStreams, (n) => n === 3);
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByLabel('Operator token').waitFor();
  await secondTab.locator('.connection[data-connection=ended]').waitFor();
  expect(await secondTab.locator('[data-metric]').count()).toBe(0);
  // The session of another browser is unaffected.
  await until(openStreams, (n) => n === 1);
  expect(await otherBrowser.locator('.connection').getAttribute('data-connection')).toBe('live');
  await context.close();
  await other.close();
});
