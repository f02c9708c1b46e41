import type { RedisOptions } from '@huntaze/rate-limit';
import { alone, figures, megabytes, TwoAtATime, type Held } from '../support/load';
import { freePort, startRedis, type RedisServer } from '../support/redis';

// An attacker chooses ids: a million of them must not fill the memory of the process, whoever decides.

const IDS = 1_000_000;

/** What the memory store holds: README, Limits. */
const STORED = 100_000;

/** Ids before the first look: the store is full by then, and so is what Node.js and the allocators keep for themselves. */
const WARM = 2 * STORED;

/**
 * The least that would be kept of an id that is kept: its text (15 bytes), a pointer to it and its place in a map. The
 * growth from `WARM` ids on must be less than that for each of the others.
 */
const LEAST = 32;

/**
 * The most that the store may take for an id with one admission, and what the garbage collector's spaces grow to besides
 * under any such loop.
 */
const STORED_BYTES = 500;
const SPACES = 64e6;

interface Flood {
  readonly answers: Record<'allowed' | 'denied' | 'failed', number>;
  readonly sources: Record<string, number>;
  readonly left: Record<string, number>;
  readonly before: Held;
  readonly full: Held;
  readonly after: Held;
  readonly closed: Held;
  readonly peak: number;
}

let redis: RedisServer;
let runs: Record<'redis' | 'memory' | 'away', Promise<Flood>>;
beforeAll(async () => {
  redis = await startRedis();
  const away = { host: '127.0.0.1', port: await freePort() };
  const queue = new TwoAtATime();
  runs = {
    redis: queue.run(() => flood('Redis', { url: redis.url })),
    memory: queue.run(() => flood('memory')),
    away: queue.run(() => flood('local', away)),
  };
});
afterAll(() => redis.stop());

async function flood(title: string, options?: RedisOptions): Promise<Flood> {
  const report = await alone<Flood>('flood.cjs', { redis: options, ids: IDS, warm: WARM, inFlight: 5000 });
  const { before, full, peak, after, closed } = report;
  figures(`RSS in MB over ${title}`, {
    before: megabytes(before.rss),
    [`after ${WARM} ids`]: megabytes(full.rss),
    [`after ${IDS} ids`]: megabytes(after.rss),
    peak: megabytes(peak),
    closed: megabytes(closed.rss),
  });
  expect(report.answers).toEqual({ allowed: IDS, denied: 0, failed: 0 });
  expect(after.rss - full.rss).toBeLessThan(LEAST * (IDS - WARM));
  expect(after.heapUsed - full.heapUsed).toBeLessThan(1e6);
  return report;
}

/** Exactly the `STORED` used last are remembered: the limit is 1, and they have nothing left. */
const REMEMBERED = { 0: 1, [IDS - STORED - 1]: 1, [IDS - STORED]: 0, [IDS - 1]: 0 };

test('a million ids over Redis: nothing is kept of them here', async () => {
  const { sources, left, before, peak } = await runs.redis;
  expect(sources).toEqual({ redis: IDS });
  expect(left).toEqual({ 0: 0, [IDS - STORED - 1]: 0, [IDS - STORED]: 0, [IDS - 1]: 0 });
  expect(peak - before.rss).toBeLessThan(SPACES);
}, 600_000);

test('a million ids over the embedded store: it keeps the 100,000 used last', async () => {
  const { sources, left, before, peak } = await runs.memory;
  expect(sources).toEqual({ memory: IDS });
  expect(left).toEqual(REMEMBERED);
  expect(peak - before.rss).toBeLessThan(SPACES + STORED * STORED_BYTES);
}, 600_000);

test('a million ids while Redis is away: the decisions of this process keep the 100,000 used last', async () => {
  const { sources, left, before, peak } = await runs.away;
  expect(sources).toEqual({ local: IDS });
  expect(left).toEqual(REMEMBERED);
  expect(peak - before.rss).toBeLessThan(SPACES + STORED * STORED_BYTES);
}, 600_000);
