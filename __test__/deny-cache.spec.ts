import {
  RateLimitError,
  RateLimiter,
  checkCreatorRateLimit,
  close,
  configure,
  getRateLimitStatus,
  onAnomaly,
  resetCreatorRateLimit,
  type Anomaly,
} from '@huntaze/rate-limit';
import { freshId, pass, stores } from './support/stores';
import { HANG_MS, until, within } from './support/time';

const HOUR = 3_600_000;

describe.each(stores.filter(({ source }) => source === 'redis'))('the deny cache on $name', (store) => {
  let limiter: RateLimiter;

  const make = (options: Partial<ConstructorParameters<typeof RateLimiter>[0]> = {}) =>
    (limiter = new RateLimiter({
      name: 'denied-cache',
      limit: 2,
      windowMs: HOUR,
      redis: store.redis(),
      onStoreError: 'throw',
      timeoutMs: HANG_MS,
      ...options,
    }));

  beforeAll(() => store.start());
  afterAll(() => store.stop());
  afterEach(() => limiter?.close());

  test('a repeated denial equals the first one, with the source deny-cache', async () => {
    make({ denyCacheMs: 60_000 });
    const id = freshId();
    for (let i = 0; i < 2; i++) await limiter.check(id);
    const asked = performance.now();
    const first = await limiter.limit(id);
    const second = await limiter.limit(id);
    expect([first.source, second.source]).toEqual(['redis', 'deny-cache']);
    const again = { source: 'deny-cache', retryAfterMs: expect.any(Number), resetAfterMs: expect.any(Number) };
    expect(second).toEqual({ ...first, ...again });
    expect(second.resetAfterMs).toBeLessThanOrEqual(first.resetAfterMs);
    expect(second.resetAfterMs).toBeGreaterThanOrEqual(second.retryAfterMs);
    expect(second.retryAfterMs).toBeLessThanOrEqual(first.retryAfterMs);
    const error = await limiter.check(id).catch((e: unknown) => e);
    // The elapsed time, and a started millisecond.
    const least = first.retryAfterMs - (performance.now() - asked) - 1;
    expect(second.retryAfterMs).toBeGreaterThanOrEqual(Math.floor(least));
    expect(error).toBeInstanceOf(RateLimitError);
    expect(error).toMatchObject({ limit: 2, remaining: 0 });
    expect((error as RateLimitError).retryAfter).toBeLessThanOrEqual(Math.ceil(second.retryAfterMs / 1000));
    expect((error as RateLimitError).retryAfter).toBeGreaterThanOrEqual(Math.floor(least / 1000));
  });

  test('a caller that waits for retryAfterMs is admitted', async () => {
    make({ windowMs: 100, limit: 1, anomaly: false });
    const id = freshId();
    const denied = async () => {
      // The slot is free again, whatever was admitted before.
      await pass(100);
      expect(await limiter.limit(id)).toMatchObject({ allowed: true });
      const answers = await Promise.all([limiter.limit(id), limiter.limit(id)]);
      return [...answers, await limiter.limit(id)];
    };
    for (let round = 0; round < 5; round++) {
      // The wait takes 100 ms, and the window begins after it.
      const answers = await within(200, denied);
      expect(answers.map(({ allowed }) => allowed)).toEqual([false, false, false]);
      await pass(answers.at(-1)!.retryAfterMs);
      expect(await limiter.limit(id)).toMatchObject({ allowed: true });
    }
  });

  test('a reset through the limiter takes effect at once, one of another process within denyCacheMs', async () => {
    make({ denyCacheMs: 200 });
    const elsewhere = new RateLimiter({
      name: 'denied-cache',
      limit: 2,
      windowMs: HOUR,
      redis: store.redis(),
      timeoutMs: HANG_MS,
    });
    const id = freshId();
    const used = async () => {
      for (let i = 0; i < 2; i++) await limiter.check(id);
      await expect(limiter.check(id)).rejects.toThrow(RateLimitError);
    };
    await used();
    await limiter.reset(id);
    await used();
    await elsewhere.reset(id);
    await pass(200);
    await limiter.check(id);
    await elsewhere.close();
  });

  test('close() of an idle limiter completes synchronously, unless denials are left to count', async () => {
    const redis = { host: '127.0.0.1', port: 1 };
    const local = new RateLimiter({ name: 'afresh', limit: 1, windowMs: HOUR, redis, timeoutMs: HANG_MS });
    await local.check('id');
    expect((await local.limit('id')).allowed).toBe(false);
    void local.close();
    expect(await local.limit('id')).toMatchObject({ allowed: true, source: 'local' });
    await local.close();
  });

  test('200 in flight ask Redis once an expiry, whether the event loop is blocked or not', async () => {
    const ages = [100, 100];
    for (const [run, denyCacheMs] of ages.entries()) {
      make({ denyCacheMs, anomaly: run === 0 ? false : undefined });
      const id = freshId();
      for (let i = 0; i < 5; i++) await limiter.limit(id);
      const sources: string[] = [];
      const end = performance.now() + 1000;
      let turned = performance.now();
      const caller = async () => {
        while (performance.now() < end) {
          sources.push((await limiter.limit(id)).source);
          // Replies of the store are delivered by the event loop.
          if (performance.now() - turned < 20) continue;
          turned = performance.now();
          await new Promise((resolve) => setImmediate(resolve));
        }
      };
      const begun = performance.now();
      await Promise.all(Array.from({ length: 200 }, caller));
      const expiries = Math.floor((performance.now() - begun) / denyCacheMs) + 1;
      const asked = sources.filter((source) => source === 'redis').length;
      expect(asked).toBeLessThanOrEqual(2 * expiries);
      expect(sources.length).toBeGreaterThan(200);
      await limiter.close();
    }
  });

  test('a larger limit asks the store, and denyCacheMs: 0 disables the cache', async () => {
    make();
    const id = freshId();
    for (let i = 0; i < 4; i++) await limiter.limit(id);
    expect(await limiter.limit(id, { limit: 3 })).toMatchObject({ allowed: true, source: 'redis' });
    await limiter.close();
    make({ denyCacheMs: 0 });
    for (let i = 0; i < 3; i++)
      expect(await limiter.limit(id, { limit: 2 })).toMatchObject({ allowed: false, source: 'redis' });
  });

  test('its denials count towards anomalies, within a second and on close', async () => {
    configure({ redis: store.redis(), timeoutMs: HANG_MS, plans: { starter: 5 } });
    const heard: Anomaly[] = [];
    const off = onAnomaly((anomaly) => heard.push(anomaly));
    const id = freshId();
    const storm = async (count: number) => {
      for (let i = 0; i < count; i++) await checkCreatorRateLimit(id, 'starter').catch(() => {});
    };
    await storm(33);
    await until(() => heard.length >= 1);
    // Another report of the same burst would arrive with this answer.
    await getRateLimitStatus(id, 'starter');
    await new Promise((resolve) => setImmediate(resolve));
    const anomaly = { creatorId: id, plan: 'starter', requestsIn5Min: 11, threshold: 10 };
    expect(heard).toEqual([expect.objectContaining(anomaly)]);
    // Ten requests below the threshold, sent to be counted when the limiter closes: the next is the anomaly.
    await resetCreatorRateLimit(id);
    await storm(10);
    await close();
    await storm(1);
    await until(() => heard.length >= 2);
    await close();
    expect(heard).toHaveLength(2);
    await resetCreatorRateLimit(id);
    off();
    await close();
  });
});
