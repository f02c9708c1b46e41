import type { Server } from 'node:net';
import { alone, blackHole, figures } from '../support/load';
import { freePort, startRedis, type RedisServer } from '../support/redis';
import { HANG_MS, expectMedian } from '../support/time';

// The JavaScript thread never waits for Redis: with checks in flight, timers are no later than in the control, which
// resolves as many promises without a limiter. The two alternate in one process. A busy machine delays either of them
// in some measurements, so the median of the differences is judged.

const IN_FLIGHT = 200;
const MS = 1000;
const TURNS = 10;

/**
 * The bound of the 99th percentile of delays, beyond that of the control: far less than the wait for any reply here.
 */
const P99_MS = 50;

/**
 * The bound of the longest delay, beyond that of the control: less than one wait for a deadline (250 ms) or a connect.
 */
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

interface RunOptions {
  readonly port: number;
  readonly timeoutMs?: number;
  readonly blockMs?: number;
}

async function measured(title: string, { port, ...options }: RunOptions): Promise<Report> {
  const redis = { host: '127.0.0.1', port };
  const report = await alone<Report>('loop-delay.cjs', {
    redis,
    inFlight: IN_FLIGHT,
    ms: MS,
    turns: TURNS,
    ...options,
  });
  figures(`delay of the loop in ms, ${title}`, { ...report });
  // There were delays to measure, and the control did at least as much.
  expect(report.limiting.samples).toBeGreaterThan(10);
  expect(report.control.asked).toBeGreaterThanOrEqual(report.limiting.asked);
  return report;
}

/** The excess of the delays over the control and the bounds; not positive if the loop runs freely. */
function excess({ limiting, control }: Report): number {
  return Math.max(limiting.p99 - control.p99 - P99_MS, limiting.max - control.max - MAX_MS);
}

test('200 checks in flight on a healthy Redis', () =>
  expectMedian(0, async () => {
    const report = await measured('Redis', { port: redis.port, timeoutMs: HANG_MS });
    expect(report.sources).toMatchObject({ redis: report.limiting.asked });
    return excess(report);
  }));

test.each([
  ['a black hole', async () => hole.port],
  ['a port that refuses', freePort],
])('200 checks in flight on %s', async (title, port) => {
  const at = await port();
  await expectMedian(0, async () => {
    const report = await measured(title, { port: at });
    expect(report.sources).toMatchObject({ local: report.limiting.asked });
    return excess(report);
  });
});

test('the control: one block of 250 ms, a deadline, is found in each measurement', async () => {
  const blocked = expectMedian(0, async () => {
    const report = await measured('a block of 250 ms', { port: redis.port, timeoutMs: HANG_MS, blockMs: 250 });
    expect(report.limiting.max).toBeGreaterThanOrEqual(200);
    return excess(report);
  });
  await expect(blocked).rejects.toThrow('the median is more than 0');
});
