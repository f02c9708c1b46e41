// The charts, drawn and as text: from known samples, and from real traffic.

import type { Browser, BrowserContext, Page } from 'playwright-core';
import type { Sample, StreamEvents } from '@/lib/admin/dashboard-data';
import { type App, startApp } from '../support/app';
import { areaOf, curvesOf, type Point, SHOWN_MS } from './charts';
import { historyOf, launch, PAGE, signedIn, TOKEN, until } from './operator-page';
import { chats } from './traffic';

jest.setTimeout(240_000);

let app: App;
let browser: Browser;
let context: BrowserContext;
let page: Page;

beforeAll(async () => {
  app = await startApp({ env: { RATE_LIMIT_OPERATOR_TOKEN: TOKEN } });
  browser = await launch();
  context = await browser.newContext({ timezoneId: 'UTC', viewport: { width: 1600, height: 900 } });
  page = await signedIn(context, app);
});

afterAll(async () => {
  await browser?.close();
  await app?.stop();
});

test('the areas match the admitted and the denied requests', async () => {
  const label = () => page.locator('[data-chart=traffic]').getAttribute('aria-label');
  expect(await chats(app, 'drawn', 'starter', 80)).toBe(50);
  const drawn = async () => {
    const [allowed, total] = await curvesOf(page, 'traffic');
    // On a slow machine the chart covers more time by now than at first.
    const { samples } = await historyOf(app);
    const scale = Math.max(1, (samples.at(-1)!.t - samples[0]!.t) / SHOWN_MS);
    // The chart may not have been drawn yet.
    return { allowed: areaOf(allowed ?? []) * scale, total: areaOf(total ?? []) * scale };
  };
  await until(drawn, ({ total }) => total > 79);
  // All of it is drawn once a second passes without a request.
  await until(label, (text) => text!.startsWith('Allowed 0/s, denied 0/s'));
  const { allowed, total } = await drawn();
  // A rate has one decimal.
  expect(Math.abs(allowed - 50)).toBeLessThan(1.5);
  expect(Math.abs(total - 80)).toBeLessThan(1.5);
});

describe('with 90 known seconds', () => {
  const START = Date.UTC(2026, 0, 5, 12, 0, 30);
  // All lines differ, and every tenth second has no request to Redis.
  const samples: Sample[] = Array.from({ length: 90 }, (_, i) => ({
    t: START + i * 1000,
    allowed: 30 + (i % 7),
    denied: i === 40 ? 25.5 : 11 + (i % 5) / 2,
    degraded: i % 4,
    failed: (i % 3) / 2,
    cacheHits: 5,
    p50: i % 10 === 5 ? null : 1 + (i % 6) / 10,
    p95: i % 10 === 5 ? null : 4 + (i % 9) / 4,
    p99: i % 10 === 5 ? null : i === 50 ? 31.2 : 9 + i / 10,
  }));

  beforeAll(async () => {
    const received = await historyOf(app);
    const known: StreamEvents['history'] = {
      ...received,
      samples,
      processInfo: { ...received.processInfo, store: 'redis' },
    };
    const body = `event: history\ndata: ${JSON.stringify(known)}\n\n`;
    // The stream ends at once, and each new one sends the page the same history.
    await page.route('**/stream', (route) => route.fulfill({ contentType: 'text/event-stream', body }));
    await page.goto(app.url + PAGE);
    await page.locator('[data-chart=latency] .recharts-line-curve').nth(2).waitFor({ state: 'attached' });
  });

  /** The expected points of a line; none where there is no value. */
  const pointsOf = (of: (sample: Sample) => number | null): Point[] =>
    samples.flatMap((sample) => {
      const value = of(sample);
      return value === null ? [] : [{ after: SHOWN_MS - (samples.at(-1)!.t - sample.t), value }];
    });

  // A path has three decimals of a pixel.
  const rounded = (points: readonly Point[]) =>
    points.map(({ after, value }) => [Math.round(after / 100) / 10, Math.round(value * 100) / 100 + 0]);

  test('the lines match the axes', async () => {
    const traffic = await curvesOf(page, 'traffic');
    // Allowed and denied stacked: all requests.
    const total = pointsOf(({ allowed, denied }) => allowed + denied);
    const lines = [pointsOf(({ allowed }) => allowed), total, pointsOf(({ degraded }) => degraded)];
    expect(traffic.map(rounded)).toEqual(lines.map(rounded));
    const latency = await curvesOf(page, 'latency');
    const quantiles = (['p50', 'p95', 'p99'] as const).map((key) => pointsOf((sample) => sample[key]));
    expect(latency.map(rounded)).toEqual(quantiles.map(rounded));
  });

  test('a second without a reply is a gap in the latency', async () => {
    const d = await page.locator('[data-chart=latency] .recharts-line-curve').first().getAttribute('d');
    expect(d!.match(/M/g)).toHaveLength(samples.filter(({ p50 }) => p50 === null).length + 1);
  });

  test('the descriptions match the drawing', async () => {
    const label = (chart: string) => page.locator(`[data-chart=${chart}]`).getAttribute('aria-label');
    expect(await label('traffic')).toBe(
      'Allowed 35.0/s, denied 13.0/s, degraded 1.0/s now. Most denials: 25.5/s at 12:01:10. The last 15 minutes.',
    );
    expect(await label('latency')).toBe(
      'Latest: p50 1.50 ms, p95 6.00 ms, p99 17.9 ms. Worst p99 of the last 15 minutes: 31.2 ms.',
    );
  });

  test('the tables have a row a minute, newest first', async () => {
    const table = async (name: string) => {
      const region = page.locator('section.chart').filter({ hasText: name });
      return region.locator('tr').evaluateAll((rows) => rows.map((row) => [...row.children].map((c) => c.textContent)));
    };
    const [early, late] = [samples.slice(0, 30), samples.slice(30)];
    const mean = (of: readonly Sample[], key: 'allowed' | 'denied' | 'degraded' | 'failed') =>
      (of.reduce((sum, sample) => sum + sample[key], 0) / of.length).toFixed(1);
    const keys = ['allowed', 'denied', 'degraded', 'failed'] as const;
    expect(await table('Traffic')).toEqual([
      ['Minute', 'Allowed/s', 'Denied/s', 'Degraded/s', 'Failed/s'],
      ['12:01', ...keys.map((key) => mean(late, key))],
      ['12:00', ...keys.map((key) => mean(early, key))],
    ]);
    expect(await table('latency')).toEqual([
      ['Minute', 'Worst p50', 'Worst p95', 'Worst p99'],
      ['12:01', '1.50 ms', '6.00 ms', '31.2 ms'],
      ['12:00', '1.50 ms', '6.00 ms', '11.9 ms'],
    ]);
  });

  test('the tooltip has the figures of the second under the pointer', async () => {
    // The second at the tick of 12:01, at the position of its line.
    const box = await page.locator('[data-chart=traffic] svg').first().boundingBox();
    const tick = page.locator('[data-chart=traffic] .recharts-xAxis-tick-labels text').getByText('12:01');
    const x = box!.x + Number(await tick.locator('xpath=ancestor-or-self::*[@x][last()]').getAttribute('x'));
    await page.mouse.move(x, box!.y + 60);
    const tooltip = page.locator('[data-chart=traffic] .tooltip');
    await tooltip.waitFor();
    const { allowed, denied, degraded } = samples[30]!;
    const rate = (n: number) => (n === 0 ? '0/s' : `${n.toFixed(1)}/s`);
    expect((await tooltip.innerText()).replaceAll(/\s+/g, ' ')).toBe(
      `12:01:00 Allowed ${rate(allowed)} Denied ${rate(denied)} Degraded ${rate(degraded)}`,
    );
  });
});
