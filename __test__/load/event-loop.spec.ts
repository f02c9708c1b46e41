import type { Server } from 'node:net';
import { alone, blackHole, figures } from '../support/load';
import { freePort, startRedis, type RedisServer } from '../support/redis';

// The JavaScript thread never waits for Redis: its timers come as they do when as many promises are resolved by nobody.

const IN_FLIGHT = 200;
const MS = 1000;

/** Of the delays of a loop; far less than any answer that would have to be waited for here, far more than a busy machine's. */
const P99_MS = 50;

/** The longest delay, beyond that of the control: one wait for a deadline (250 ms) or a connect would be more. */
const MAX_MS = 90;

interface Delay {
  readonly asked: number;
  readonly samples: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

interface Report {
  readonly limiting: Delay;
  readonly control: Delay;
  readonly sources: Record<string, number>;
}

let redis: RedisServer;
let hole: { server: Server; port: number };
beforeAll(async () => {
  redis = await startRedis();
  hole = await blackHole();
});
afterAll(async () => {
  await redis.stop();
  await new Promise((resolve) => hole.server.close(resolve));
});

async function measured(title: string, port: number, blockMs = 0): Promise<Report> {
  const options = { redis: { host: '127.0.0.1', port }, inFlight: IN_FLIGHT, ms: MS, blockMs };
  let report = await alone<Report>('loop-delay.cjs', options);
  // A control that came to less was held up by the machine, and says nothing of what was measured before it.
  for (let again = 0; again < 3 && report.control.asked < report.limiting.asked; again++) {
    report = await alone<Report>('loop-delay.cjs', options);
  }
  figures(`delay of the loop in ms, ${title}`, { ...report });
  // There was something to measure, and the control did as much at least.
  expect(report.limiting.samples).toBeGreaterThan(50);
  expect(report.control.asked).toBeGreaterThanOrEqual(report.limiting.asked);
  return report;
}

function runsFreely({ limiting, control }: Report): boolean {
  return limiting.p99 <= P99_MS + control.p99 && limiting.max <= MAX_MS + control.max;
}

test('200 checks in flight on a healthy Redis', async () => {
  const report = await measured('Redis', redis.port);
  expect(report.sources.redis).toBe(report.limiting.asked);
  expect([report, runsFreely(report)]).toEqual([report, true]);
}, 60_000);

test.each([
  ['a black hole', async () => hole.port],
  ['a port that refuses', freePort],
])(
  '200 checks in flight on %s',
  async (title, port) => {
    const report = await measured(title, await port());
    expect(report.sources.local).toBe(report.limiting.asked);
    expect([report, runsFreely(report)]).toEqual([report, true]);
  },
  60_000,
);

test('the control: one block of 100 ms is seen', async () => {
  const report = await measured('a block of 100 ms', redis.port, 100);
  // The control of that process is blocked as well: no excuse here.
  const control = { ...report.control, p99: 0, max: 0 };
  expect(runsFreely({ ...report, control })).toBe(false);
}, 60_000);
