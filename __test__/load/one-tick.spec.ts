import type { RedisOptions } from '@huntaze/rate-limit';
import type { Server } from 'node:net';
import { alone, blackHole, figures, megabytes, TwoAtATime, type Held } from '../support/load';
import { startRedis, type RedisServer } from '../support/redis';
import { HANG_MS } from '../support/time';

// A million checks in one iteration of the event loop: no reply can be processed before all of them are made.

const CALLS = 1_000_000;
const ATTEMPTS = 5;

/** Each id makes ten requests, of which five are admitted. */
const IDS = 100_000;
const LIMIT = 5;

/**
 * The most memory that a call of the last burst may retain afterwards, in bytes: less than any record of it. The bursts
 * before grow the heaps as far as such a burst needs; V8 must have freed all of it all the same.
 */
const LEAST = 64;

interface Burst {
  readonly ends: Record<'allowed' | 'denied' | 'failed', number>;
  readonly settled: number;
  readonly codes: Record<string, number>;
  readonly came: readonly string[];
  readonly times: Record<'calling' | 'settling' | 'longestTurn', number>;
}

interface OneTick {
  /** Two or more: see one-tick.cjs. */
  readonly bursts: readonly Burst[];
  readonly stray: readonly string[];
  readonly cold: Held;
  readonly before: Held;
  readonly after: Held;
  readonly closed: Held;
  readonly peak: number;
}

let redis: RedisServer;
let hole: { server: Server; port: number };
let runs: Record<'patient' | 'inTime' | 'memory' | 'away', Promise<OneTick>>;

beforeAll(async () => {
  redis = await startRedis();
  hole = await blackHole();
  const away = { host: '127.0.0.1', port: hole.port };
  const queue = new TwoAtATime();
  runs = {
    patient: queue.run(() => patient({ url: redis.url })),
    away: queue.run(() => oneTick('a black hole', away, 250)),
    inTime: queue.run(() => oneTick('Redis, 250 ms', { url: redis.url }, 250)),
    memory: queue.run(() => oneTick('memory', undefined, 250)),
  };
});
afterAll(async () => {
  await redis.stop();
  await new Promise((resolve) => hole.server.close(resolve));
});

async function oneTick(title: string, options: RedisOptions | undefined, timeoutMs: number) {
  const asked = { redis: options, calls: CALLS, ids: IDS, limit: LIMIT, timeoutMs, retained: LEAST };
  const report = await alone<OneTick>('one-tick.cjs', asked);
  const { bursts, cold, before, peak, after, closed } = report;
  const mb = {
    cold: megabytes(cold.rss),
    before: megabytes(before.rss),
    peak: megabytes(peak),
    after: megabytes(after.rss),
    closed: megabytes(closed.rss),
  };
  figures(`a million in one tick, ${title}`, {
    'RSS in MB': mb,
    ...bursts.at(-1)!.ends,
    'times in ms': bursts.at(-1)!.times,
  });
  expect(bursts.length).toBeGreaterThan(1);
  for (const { settled, ends, came } of bursts) {
    expect(settled).toBe(CALLS);
    expect(ends.allowed + ends.denied + ends.failed).toBe(CALLS);
    expect(came).toEqual(['timer', 'immediate', 'tick', 'file', 'socket']);
  }
  expect(report.stray).toEqual([]);
  return report;
}

/**
 * With the longest possible deadline. If a burst takes the machine longer, the deadline decides: the burst is repeated
 * under another name, which includes the deadline.
 */
async function patient(options: RedisOptions): Promise<OneTick> {
  const slow = ({ times }: Burst) => times.calling + times.settling >= HANG_MS - ATTEMPTS;
  for (let attempt = 1; ; attempt++) {
    const report = await oneTick('Redis, 60 s', options, HANG_MS - attempt);
    if (attempt === ATTEMPTS || !report.bursts.some(slow)) return report;
  }
}

function expectMemoryBack({ cold, before, after, closed }: OneTick): void {
  expect(before.heapUsed - cold.heapUsed).toBeLessThan(5e6);
  const most = megabytes(before.rss + LEAST * CALLS);
  expect(after.heapUsed - before.heapUsed).toBeLessThan(5e6);
  expect(megabytes(closed.rss)).toBeLessThan(most);
  expect(megabytes(after.rss)).toBeLessThan(most);
}

test('over Redis, with a long deadline: each is decided', async () => {
  const report = await runs.patient;
  const ends = { allowed: IDS * LIMIT, denied: CALLS - IDS * LIMIT, failed: 0 };
  for (const burst of report.bursts) expect(burst).toMatchObject({ ends });
  expectMemoryBack(report);
}, 600_000);

test('over a black hole: each fails', async () => {
  const report = await runs.away;
  const failed = { ends: { allowed: 0, denied: 0, failed: CALLS }, codes: { ETIMEDOUT: CALLS } };
  for (const burst of report.bursts) expect(burst).toMatchObject(failed);
  for (const { codes } of report.bursts) expect(Object.keys(codes)).toEqual(['ETIMEDOUT']);
  expectMemoryBack(report);
}, 600_000);

test('over Redis, with the default deadline: each check is decided by then or has failed', async () => {
  const report = await runs.inTime;
  for (const { ends, codes } of report.bursts) {
    expect(ends.allowed).toBeLessThanOrEqual(IDS * LIMIT);
    expect(codes).toEqual(ends.failed > 0 ? { ETIMEDOUT: ends.failed } : {});
  }
  expectMemoryBack(report);
}, 600_000);

test('over memory: each is decided', async () => {
  const report = await runs.memory;
  const ends = { allowed: IDS * LIMIT, denied: CALLS - IDS * LIMIT, failed: 0 };
  for (const burst of report.bursts) expect(burst).toMatchObject({ ends });
  // The store has kept all of these ids, and forgets them when it is closed.
  expectMemoryBack(report);
}, 600_000);
