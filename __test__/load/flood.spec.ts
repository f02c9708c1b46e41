import type { RedisOptions } from '@huntaze/rate-limit';
import { alone, figures, megabytes, TwoAtATime, type Held } from '../support/load';
import { freePort, startRedis, type RedisServer } from '../support/redis';

// An attacker chooses the ids: a million of them must not fill the memory of the process, whatever the source of
// decisions.

const IDS = 1_000_000;

/** The capacity of the memory store: README, Limits. */
const STORED = 100_000;

/**
 * Ids before the first measurement: the store is full by then, and the heaps of Node.js and the allocators have grown.
 */
const WARM = 2 * STORED;

/**
 * The least memory of a remembered id: its text (15 bytes), a pointer to it and its map entry. The growth after `WARM`
 * ids must be less than that for each further id.
 */
const LEAST = 32;

/**
 * The most memory that the store may use for an id with one admission, plus the growth of the garbage collector's
 * spaces under any such loop.
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

/** Exactly the `STORED` most recent ids are remembered: the limit is 1, and they have no request left. */
const REMEMBERED = { 0: 1, [IDS - STORED - 1]: 1, [IDS - STORED]: 0, [IDS - 1]: 0 };

test('a million ids over Redis: the process remembers none', async () => {
  const { sources, left, before, peak } = await runs.redis;
  expect(sources).toEqual({ redis: IDS });
  expect(left).toEqual({ 0: 0, [IDS - STORED - 1]: 0, [IDS - STORED]: 0, [IDS - 1]: 0 });
  expect(peak - before.rss).toBeLessThan(SPACES);
}, 600_000);

test('a million ids over the embedded store: it keeps the 100,000 most recent', async () => {
  const { sources, left, before, peak } = await runs.memory;
  expect(sources).toEqual({ memory: IDS });
  expect(left).toEqual(REMEMBERED);
  expect(peak - before.rss).toBeLessThan(SPACES + STORED * STORED_BYTES);
}, 600_000);

test('a million ids while Redis is unavailable: local decisions keep the 100,000 most recent', async () => {
  const { sources, left, before, peak } = await runs.away;
  expect(sources).toEqual({ local: IDS });
  expect(left).toEqual(REMEMBERED);
  expect(peak - before.rss).toBeLessThan(SPACES + STORED * STORED_BYTES);
}, 600_000);
