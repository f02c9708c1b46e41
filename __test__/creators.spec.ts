import fc from 'fast-check';
import {
  RateLimitError,
  checkCreatorRateLimit,
  close,
  configure,
  getRateLimitStatus,
  resetCreatorRateLimit,
  type CreatorPlan,
} from '@huntaze/rate-limit';
import { freshId, pass, stores } from './support/stores';
import { HANG_MS } from './support/time';

const LIMITS: Record<CreatorPlan, number> = { starter: 50, pro: 100, business: 500 };
const anyPlan = fc.constantFrom<CreatorPlan>('starter', 'pro', 'business');
const anyId = fc.oneof(fc.nat(), fc.string({ minLength: 1, maxLength: 40, unit: 'grapheme' }));

describe.each(stores)('creators on $name', (store) => {
  beforeAll(() => store.start());
  afterAll(() => store.stop());
  beforeEach(() => configure({ redis: store.redis(), timeoutMs: HANG_MS, anomaly: false }));
  afterEach(() => close());

  test('property 9: the (N+1)th request inside the window is rejected with RateLimitError', async () => {
    await fc.assert(
      fc.asyncProperty(anyPlan, anyId, async (plan, id) => {
        await resetCreatorRateLimit(id);
        const limit = LIMITS[plan];
        const began = performance.now();
        await Promise.all(Array.from({ length: limit }, () => checkCreatorRateLimit(id, plan)));
        const error = await checkCreatorRateLimit(id, plan).then(
          () => undefined,
          (e: unknown) => e,
        );
        expect(error).toBeInstanceOf(RateLimitError);
        expect(error).toMatchObject({ limit, remaining: 0, code: 'RATE_LIMITED', message: 'Rate limit exceeded' });
        const { retryAfter } = error as RateLimitError;
        expect(retryAfter).toBeLessThanOrEqual(3600);
        expect(retryAfter).toBeGreaterThanOrEqual(Math.floor(3600 - (performance.now() - began) / 1000));
      }),
      { numRuns: 30 },
    );
  });

  test.each(Object.entries(LIMITS) as [CreatorPlan, number][])(
    'property 10: %s admits %i of a crowd',
    async (plan, limit) => {
      const id = freshId();
      const crowd = await Promise.allSettled(Array.from({ length: limit + 77 }, () => checkCreatorRateLimit(id, plan)));
      expect(crowd.filter((r) => r.status === 'fulfilled')).toHaveLength(limit);
    },
  );

  test('property 11: once the window has passed, the next request is allowed', async () => {
    await fc.assert(
      fc.asyncProperty(anyPlan, fc.integer({ min: 40, max: 120 }), async (plan, windowMs) => {
        await close();
        configure({
          redis: store.redis(),
          timeoutMs: HANG_MS,
          windowMs,
          plans: { starter: 2, pro: 3, business: 5 },
          anomaly: false,
        });
        const id = freshId();
        const limit = { starter: 2, pro: 3, business: 5 }[plan];
        for (let i = 0; i < limit; i++) await checkCreatorRateLimit(id, plan);
        await pass(windowMs + 1);
        await checkCreatorRateLimit(id, plan);
      }),
      { numRuns: 15 },
    );
  });

  test("the default plan is 'pro'", async () => {
    expect(await getRateLimitStatus(freshId())).toMatchObject({ limit: 100, remaining: 100 });
  });

  test("7 and '7' are the same creator", async () => {
    await resetCreatorRateLimit(7);
    await checkCreatorRateLimit(7, 'starter');
    await checkCreatorRateLimit('7', 'starter');
    expect((await getRateLimitStatus(7, 'starter')).remaining).toBe(48);
  });

  test('a change of plan keeps the history, and a smaller plan never shows a negative remaining', async () => {
    const id = freshId();
    for (let i = 0; i < 80; i++) await checkCreatorRateLimit(id, 'pro');
    expect((await getRateLimitStatus(id, 'business')).remaining).toBe(420);
    expect((await getRateLimitStatus(id, 'starter')).remaining).toBe(0);
    await expect(checkCreatorRateLimit(id, 'starter')).rejects.toThrow(RateLimitError);
    await checkCreatorRateLimit(id, 'business');
  });

  test('a denial is not recorded: a client that keeps retrying is admitted as soon as a slot is free', async () => {
    await close();
    configure({ redis: store.redis(), timeoutMs: HANG_MS, windowMs: 300, plans: { starter: 2 }, anomaly: false });
    const id = freshId();
    const asked: number[] = [];
    const admitted: number[] = [];
    // A caller that never stops. The replaced module recorded denials, and would admit no more than the first two.
    while (admitted.length < 6) {
      asked.push(performance.now());
      await checkCreatorRateLimit(id, 'starter').then(
        () => admitted.push(performance.now()),
        () => pass(5),
      );
    }
    // And not before: the fifth came two windows after the first, by the store's whole milliseconds.
    expect(admitted[4]! - asked[0]!).toBeGreaterThanOrEqual(2 * 300 - 1);
  });

  test('status takes nothing from the quota, and reset restores it', async () => {
    const id = freshId();
    const before = Date.now();
    const unused = await getRateLimitStatus(id, 'starter');
    expect(unused).toEqual({ limit: 50, remaining: 50, reset: expect.any(Number) });
    expect(unused.reset - before).toBeGreaterThan(3_590_000);
    await checkCreatorRateLimit(id, 'starter');
    expect((await getRateLimitStatus(id, 'starter')).remaining).toBe(49);
    expect((await getRateLimitStatus(id, 'starter')).remaining).toBe(49);
    await resetCreatorRateLimit(id);
    expect((await getRateLimitStatus(id, 'starter')).remaining).toBe(50);
  });

  test('promises, errors and objects are of the caller’s realm', async () => {
    const promise = getRateLimitStatus(freshId());
    expect(promise).toBeInstanceOf(Promise);
    expect(await promise).toStrictEqual({ limit: 100, remaining: 100, reset: expect.any(Number) });
    const error = await checkCreatorRateLimit('').catch((e: unknown) => e);
    expect(error).toBeInstanceOf(RangeError);
    expect(new RateLimitError(1, 2, 0)).toBeInstanceOf(Error);
  });
});

test('RateLimitError has the fields that routes expect', () => {
  const error = new RateLimitError(12, 50, 0);
  expect(error.name).toBe('RateLimitError');
  expect(error.code).toBe('RATE_LIMITED');
  expect(error.message).toBe('Rate limit exceeded');
  expect([error.retryAfter, error.limit, error.remaining]).toEqual([12, 50, 0]);
  expect(`${error}`).toBe('RateLimitError: Rate limit exceeded');
});

test('a clone of a RateLimitError, and its JSON, keep name and fields', async () => {
  await close();
  configure({ plans: { starter: 1 }, anomaly: false });
  const id = freshId();
  await checkCreatorRateLimit(id, 'starter');
  const denied: RateLimitError = await checkCreatorRateLimit(id, 'starter').catch((e) => e);
  for (const error of [denied, new RateLimitError(7, 3, 0)]) {
    const { retryAfter, limit, remaining } = error;
    const fields = { name: 'RateLimitError', code: 'RATE_LIMITED', retryAfter, limit, remaining };
    expect(Object.assign({}, error)).toMatchObject(fields);
    expect(JSON.parse(JSON.stringify(error))).toMatchObject(fields);
    expect(Object.assign(new Error(error.message), error)).toMatchObject(fields);
  }
  // The stack is written before the error has its own fields.
  expect(new RateLimitError(7, 3, 0).stack).toMatch(/^RateLimitError: Rate limit exceeded\n/);
  await close();
});
