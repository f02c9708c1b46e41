import { createHmac } from 'node:crypto';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import type { StreamEvents } from '@/lib/admin/dashboard-data';
import type { App } from '../support/app';

export const TOKEN = 'c2VjcmV0IG9mIHRoZSBvcGVyYXRvcg';
export const PAGE = '/admin/rate-limits';
export const API = '/api/admin/rate-limits';

/** Debian's Chromium, or the one in CHROMIUM. Without a browser the tests fail, as they should. */
export function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    // Its sandbox refuses to run as root, as in a container.
    args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
  });
}

/** Errors and warnings of the browser; no test may leave any. */
export function collectConsoleErrors(page: Page): string[] {
  const consoleErrors: string[] = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) consoleErrors.push(message.text());
  });
  page.on('pageerror', (error) => consoleErrors.push(String(error)));
  return consoleErrors;
}

/** Only ends an endless wait: a busy machine may take long to render a page. */
const WAIT_TIMEOUT_MS = 90_000;

/** A live page of a signed-in operator. */
export async function signedIn(context: BrowserContext, { url }: Pick<App, 'url'>): Promise<Page> {
  context.setDefaultTimeout(WAIT_TIMEOUT_MS);
  const page = await context.newPage();
  await page.goto(url + PAGE);
  await page.getByLabel('Operator token').fill(TOKEN);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.locator('.connection[data-connection=live]').waitFor();
  return page;
}

/** The first event of a stream, as an API client receives it. */
export async function historyOf({ url }: Pick<App, 'url'>): Promise<StreamEvents['history']> {
  const response = await fetch(`${url}${API}/stream`, { headers: { Authorization: `Bearer ${TOKEN}` } });
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  while (!text.includes('\n\n')) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`no event, but ${response.status} ${text}`);
    text += value;
  }
  await reader.cancel();
  return JSON.parse(/^data: (.*)$/m.exec(text)![1]!);
}

/**
 * A session cookie as the server makes it: `claim` is the end in Unix ms and, after a dot, a nonce of 16 characters.
 */
export function signedCookie(claim: string, token = TOKEN): string {
  const key = createHmac('sha256', token).update('rate-limit operator session, version 1').digest();
  return `${claim}.${createHmac('sha256', key).update(claim).digest('base64url')}`;
}

/** The metric of a tile, such as `allowed`. */
export async function metric(page: Page, name: string): Promise<number> {
  const text = await page.locator(`[data-metric=${name}]`).innerText();
  return Number.parseFloat(text.replaceAll(',', ''));
}

/** Calls `again` until `holds` accepts the answer; fails with the last one. */
export async function until<T>(
  again: () => Promise<T>,
  holds: (value: T) => boolean,
  withinMs = WAIT_TIMEOUT_MS,
): Promise<T> {
  const end = Date.now() + withinMs;
  for (;;) {
    const value = await again();
    if (holds(value)) return value;
    if (Date.now() > end) throw new Error(`Not in ${withinMs} ms; last: ${JSON.stringify(value)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
