import type * as RateLimit from '@huntaze/rate-limit';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { startRedis, type RedisServer } from '../support/redis';
import { freshId } from '../support/stores';
import { HANG_MS } from '../support/time';

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());

function fresh(): typeof RateLimit {
  let copy!: typeof RateLimit;
  jest.isolateModules(() => {
    copy = require('@huntaze/rate-limit');
  });
  return copy;
}

test('two copies of the JavaScript in one process: each with its own promises and classes, on one native module and its logs', async () => {
  const [a, b] = [fresh(), fresh()];
  expect(a.RateLimitError).not.toBe(b.RateLimitError);
  for (const redisOption of [undefined, redis.options]) {
    const name = freshId();
    const options = {
      name,
      limit: 20,
      windowMs: 60_000,
      redis: redisOption,
      timeoutMs: HANG_MS,
      anomaly: false,
    } as const;
    const [la, lb] = [new a.RateLimiter(options), new b.RateLimiter(options)];
    const [fromA, fromB] = await Promise.all(
      [la, lb].map((l) => Promise.allSettled(Array.from({ length: 30 }, () => l.check('same')))),
    );
    const reasons = (all: PromiseSettledResult<void>[]) =>
      all.flatMap((r) => (r.status === 'rejected' ? [r.reason] : []));
    expect(reasons(fromA!).length + reasons(fromB!).length).toBe(40);
    expect(reasons(fromA!).every((e) => e instanceof a.RateLimitError)).toBe(true);
    expect(reasons(fromB!).every((e) => e instanceof b.RateLimitError)).toBe(true);
    await Promise.all([la.close(), lb.close()]);
  }
});

test('copies dropped with checks in flight cause no error', async () => {
  for (let i = 0; i < 20; i++) {
    const copy = fresh();
    const limiter = new copy.RateLimiter({
      name: 'thrown',
      limit: 5,
      windowMs: 1000,
      redis: redis.options,
      anomaly: false,
    });
    for (let n = 0; n < 50; n++) limiter.check(n).catch(() => {});
  }
  const last = fresh();
  const limiter = new last.RateLimiter({
    name: 'last',
    limit: 5,
    windowMs: 1000,
    redis: redis.options,
    timeoutMs: HANG_MS,
  });
  expect((await limiter.limit(1)).source).toBe('redis');
  await limiter.close();
});

test('an unreferenced copy is collected with its connection', () => {
  const fixture = join(__dirname, '../fixtures/garbage-collection.cjs');
  const env = { ...process.env, REDIS_URL: redis.url };
  expect(execFileSync(process.execPath, ['--expose-gc', fixture], { encoding: 'utf8', env }).trim()).toBe('collected');
});

describe('the README’s advice for tests', () => {
  const used = async (copy: typeof RateLimit, id: string) =>
    50 - (await copy.getRateLimitStatus(id, 'starter')).remaining;

  test('a file that forgets close() leaves its quotas to the next copy, whose close() forgets them', async () => {
    const [forgetful, next] = [fresh(), fresh()];
    const id = freshId();
    await forgetful.checkCreatorRateLimit(id, 'starter');
    expect(await used(next, id)).toBe(1);
    await next.close();
    expect(await used(next, id)).toBe(0);
    await Promise.all([forgetful.close(), next.close()]);
  });

  test('configuration belongs to a copy', async () => {
    const [configured, other] = [fresh(), fresh()];
    configured.configure({ plans: { starter: 7 } });
    expect((await configured.getRateLimitStatus(freshId(), 'starter')).limit).toBe(7);
    expect((await other.getRateLimitStatus(freshId(), 'starter')).limit).toBe(50);
    await Promise.all([configured.close(), other.close()]);
  });

  test('fake timers do not move the clock of the embedded store, and reset gives a quota back', async () => {
    jest.useFakeTimers();
    try {
      const { RateLimiter } = fresh();
      const limiter = new RateLimiter({ name: freshId(), limit: 1, windowMs: 3_600_000, anomaly: false });
      await limiter.check('id');
      jest.advanceTimersByTime(3_600_000);
      expect(await limiter.limit('id')).toHaveProperty('allowed', false);
      await limiter.reset('id');
      await limiter.check('id');
      await limiter.close();
    } finally {
      jest.useRealTimers();
    }
  });
});
