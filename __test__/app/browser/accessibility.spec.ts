// Accessibility: colour schemes, a phone, keyboard only, assistive technology.

import axe from 'axe-core';
import type { Browser, Page } from 'playwright-core';
import { type App, startApp } from '../support/app';
import { collectConsoleErrors, launch, PAGE, signedIn, TOKEN, until } from './operator-page';
import { chat, chats } from './traffic';

jest.setTimeout(240_000);

let app: App;
let browser: Browser;

beforeAll(async () => {
  app = await startApp({ env: { RATE_LIMIT_OPERATOR_TOKEN: TOKEN } });
  browser = await launch();
  await chats(app, 'a-creator-with-a-rather-long-id-of-the-kind-that-breaks-a-layout-0123456789', 'starter', 101);
  await chats(app, 'second', 'starter', 41);
});

afterAll(async () => {
  await browser?.close();
  await app?.stop();
});

const SCHEMES = ['light', 'dark'] as const;

async function violationsOn(page: Page) {
  await page.evaluate(axe.source);
  const { violations } = (await page.evaluate('axe.run()')) as axe.AxeResults;
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => ({ id, nodes: nodes.map(({ html, failureSummary }) => ({ html, failureSummary })) }));
}

test('the embedded store is named, and no chart of Redis is drawn', async () => {
  const page = await signedIn(await browser.newContext(), app);
  expect(await page.locator('[data-info=store]').innerText()).toBe('embedded store');
  expect(await page.locator('[data-chart=latency]').count()).toBe(0);
  expect(await page.locator('.latency').innerText()).toContain('Embedded store');
  await page.locator('[data-creator=second]').waitFor();
  await page.context().close();
});

test('dark and light have different colours, in the charts, too', async () => {
  const context = await browser.newContext({ colorScheme: 'light' });
  const page = await signedIn(context, app);
  const colours = () =>
    page.evaluate(`['.operator', '.panel', '.tile dt', '[data-chart=traffic] .recharts-area-curve']
      .map((of) => getComputedStyle(document.querySelector(of)))
      .flatMap((style, i) => (i < 3 ? [style.backgroundColor, style.color] : [style.stroke]))`) as Promise<string[]>;
  await page.locator('[data-chart=traffic] .recharts-area-curve').first().waitFor({ state: 'attached' });
  const light = await colours();
  await page.emulateMedia({ colorScheme: 'dark' });
  const dark = await colours();
  for (const [i, colour] of light.entries()) {
    if (colour !== 'rgba(0, 0, 0, 0)') expect([i, dark[i]]).not.toEqual([i, colour]);
  }
  expect(light.at(-1)).toMatch(/^rgb/);
  await context.close();
});

test.each(SCHEMES)('no serious accessibility violation in %s', async (colorScheme) => {
  const context = await browser.newContext({ colorScheme });
  const gate = await context.newPage();
  await gate.goto(app.url + PAGE);
  expect(await violationsOn(gate)).toEqual([]);
  const page = await signedIn(context, app);
  await page.locator('[data-creator=second]').waitFor();
  await page.locator('.anomalies li').first().waitFor();
  await page.locator('summary').first().click();
  expect(await violationsOn(page)).toEqual([]);
  await page.locator('[data-creator=second] button').click();
  await page.getByRole('button', { name: 'Reset the quota…' }).click();
  expect(await violationsOn(page)).toEqual([]);
  await context.close();
});

test('on a phone no element is wider than the screen', async () => {
  const context = await browser.newContext({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  const page = await signedIn(context, app);
  await page.locator('[data-creator=second]').waitFor();
  const width = () => page.evaluate('document.documentElement.scrollWidth') as Promise<number>;
  expect(await width()).toBe(390);
  await page.locator('summary').first().click();
  await page.locator('[data-creator=second] button').click();
  await page.getByRole('button', { name: 'Reset the quota…' }).click();
  expect(await width()).toBe(390);
  await context.close();
});

test.each([390, 641, 800, 1099, 1100, 1200, 1600])(
  'the content of a panel stays inside it, %i px wide',
  async (width) => {
    const context = await browser.newContext({ viewport: { width, height: 900 } });
    const page = await signedIn(context, app);
    await page.locator('[data-creator=second]').waitFor();
    const sticksOut = `[...document.querySelectorAll('.panel')].flatMap((panel) => {
    const edge = panel.getBoundingClientRect().right;
    return [...panel.querySelectorAll('table, td, th, button, li, input, .usage-text')]
      .filter((part) => part.getBoundingClientRect().right > edge)
      .map((part) => part.outerHTML.slice(0, 80));
  })`;
    expect(await page.evaluate(sticksOut)).toEqual([]);
    await context.close();
  },
);

test('signing in and a reset work with the keyboard alone', async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  const consoleErrors = collectConsoleErrors(page);
  const focused = () =>
    page.evaluate(
      'document.activeElement.labels?.[0]?.innerText.split("\\n")[0] ?? document.activeElement.innerText',
    ) as Promise<string>;
  const focuses = (name: string) => until(focused, (text) => text === name);
  const tabTo = async (name: string) => {
    for (let i = 0; i < 60; i++) {
      await page.keyboard.press('Tab');
      if ((await focused()).startsWith(name)) return;
    }
    throw new Error(`Tab does not reach ${name}`);
  };

  expect(await chat(app, 'second', 'starter')).toBe(200);
  await page.goto(app.url + PAGE);
  await tabTo('Operator token');
  await page.keyboard.type(TOKEN);
  await page.keyboard.press('Enter');
  await page.locator('.connection[data-connection=live]').waitFor();

  // The first tab stop skips the header, and is visible.
  await page.keyboard.press('Tab');
  while ((await focused()) !== 'Skip to the figures') await page.keyboard.press('Shift+Tab');
  expect((await page.locator('.skip-link').boundingBox())!.y).toBeGreaterThanOrEqual(0);
  await page.keyboard.press('Enter');
  expect(await page.evaluate('document.activeElement.id')).toBe('figures');

  await tabTo('Creator id');
  await page.keyboard.type('second');
  await page.keyboard.press('Tab');
  await page.keyboard.type('starter');
  await page.keyboard.press('Tab');
  await focuses('Look up');
  expect(await page.evaluate('getComputedStyle(document.activeElement).outlineStyle')).toBe('solid');
  await page.keyboard.press('Enter');
  const message = page.locator('.status-message');
  await until(
    () => message.innerText(),
    (text) => text.includes('second on starter: 42 of 50 used'),
  );
  await page.keyboard.press('Tab');
  await focuses('Reset the quota…');
  await page.keyboard.press('Enter');
  // The dialog keeps the focus; Escape closes it and restores the focus.
  await focuses('Cancel');
  for (let i = 0; i < 6; i++) {
    await page.keyboard.press('Tab');
    const inside = await page.evaluate(
      'document.activeElement === document.body || !!document.activeElement.closest("dialog")',
    );
    expect(inside).toBe(true);
  }
  await page.keyboard.press('Escape');
  await focuses('Reset the quota…');
  expect(await message.innerText()).toContain('42 of 50 used');

  await page.keyboard.press('Enter');
  await focuses('Cancel');
  await page.keyboard.press('Tab');
  await focuses('Reset');
  await page.keyboard.press('Enter');
  await until(
    () => message.innerText(),
    (text) => text.includes('The quota of second was reset. second on starter: 0 of 50 used'),
  );
  await focuses('Reset the quota…');
  expect(consoleErrors).toEqual([]);
  await context.close();
});

test('prefers-reduced-motion disables animations', async () => {
  const context = await browser.newContext({ reducedMotion: 'reduce' });
  const page = await signedIn(context, app);
  await page.locator('[data-creator=second], .creators .usage-bar i').first().waitFor();
  const moving = `[...document.querySelectorAll('.operator *')].filter((element) => {
    const { animationName, transitionDuration } = getComputedStyle(element);
    return animationName !== 'none' || !/^0s/.test(transitionDuration);
  }).length`;
  expect(await page.evaluate(moving)).toBe(0);
  await page.emulateMedia({ reducedMotion: 'no-preference' });
  expect(await page.evaluate(moving)).toBeGreaterThan(0);
  await context.close();
});
