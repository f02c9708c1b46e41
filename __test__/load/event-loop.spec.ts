import type { Server } from 'node:net';
import { alone, blackHole, figures } from '../support/load';
import { freePort, startRedis, type RedisServer } from '../support/redis';
import { HANG_MS } from '../support/time';

// The JavaScript thread never waits for Redis: its timers come as they do when as many promises are resolved by nobody. The two
// take turns in one process. A machine that holds up the one and not the other in one measurement does not do so in each, and
// what waits for an answer would.

const IN_FLIGHT = 200;
const MS = 1000;
const TURNS = 10;
const MEASUREMENTS = 10;

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

interface Way {
  readonly port: number;
  readonly timeoutMs?: number;
  readonly blockMs?: number;
}

async function measured(title: string, { port, ...way }: Way): Promise<Report> {
  const redis = { host: '127.0.0.1', port };
  const report = await alone<Report>('loop-delay.cjs', { redis, inFlight: IN_FLIGHT, ms: MS, turns: TURNS, ...way });
  figures(`delay of the loop in ms, ${title}`, { ...report });
  // There was something to measure, and the control did as much at least.
  expect(report.limiting.samples).toBeGreaterThan(10);
  expect(report.control.asked).toBeGreaterThanOrEqual(report.limiting.asked);
  return report;
}

function runsFreely({ limiting, control }: Report): boolean {
  return limiting.p99 <= P99_MS + control.p99 && limiting.max <= MAX_MS + control.max;
}

/** Whether one of several measurements says so. */
async function once(says: (report: Report) => boolean, measure: () => Promise<Report>): Promise<boolean> {
  for (let i = 0; i < MEASUREMENTS; i++) if (says(await measure())) return true;
  return false;
}

test('200 checks in flight on a healthy Redis', async () => {
  const measure = async () => {
    const report = await measured('Redis', { port: redis.port, timeoutMs: HANG_MS });
    expect(report.sources).toMatchObject({ redis: report.limiting.asked });
    return report;
  };
  expect(await once(runsFreely, measure)).toBe(true);
});

test.each([
  ['a black hole', async () => hole.port],
  ['a port that refuses', freePort],
])('200 checks in flight on %s', async (title, port) => {
  const at = await port();
  const measure = async () => {
    const report = await measured(title, { port: at });
    expect(report.sources).toMatchObject({ local: report.limiting.asked });
    return report;
  };
  expect(await once(runsFreely, measure)).toBe(true);
});

test('the control: one wait of 250 ms, a deadline, is seen', async () => {
  const measure = () => measured('a block of 250 ms', { port: redis.port, timeoutMs: HANG_MS, blockMs: 250 });
  expect(await once((report) => !runsFreely(report), measure)).toBe(true);
});
