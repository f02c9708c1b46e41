import fc from 'fast-check';
import { RateLimitError, RateLimiter } from '@huntaze/rate-limit';
import { freshId, pass, stores } from './support/stores';
import { HANG_MS, within } from './support/time';

describe.each(stores)('RateLimiter on $name', (store) => {
  const open: RateLimiter[] = [];
  const limiter = (limit: number, windowMs: number, name = 'spec') => {
    const made = new RateLimiter({
      name,
      limit,
      windowMs,
      redis: store.redis(),
      timeoutMs: HANG_MS,
      anomaly: false,
    });
    open.push(made);
    return made;
  };

  beforeAll(() => store.start());
  afterAll(() => store.stop());
  afterEach(async () => {
    await Promise.all(open.splice(0).map((l) => l.close()));
  });

  test('limit resolves for a denial too, with the source of the decision', async () => {
    const l = limiter(2, 60_000);
    const id = freshId();
    const began = performance.now();
    const first = await l.limit(id);
    expect(first).toStrictEqual({
      allowed: true,
      limit: 2,
      remaining: 1,
      reset: expect.any(Number),
      resetAfterMs: 60_000,
      retryAfterMs: 0,
      source: store.source,
    });
    expect(await l.limit(id)).toMatchObject({ allowed: true, remaining: 0 });
    const denied = await l.limit(id);
    expect(denied).toMatchObject({ allowed: false, remaining: 0, source: store.source });
    expect(denied.retryAfterMs).toBeLessThanOrEqual(60_000);
    // All of it took less than this time, and the store counts whole milliseconds.
    expect(denied.retryAfterMs).toBeGreaterThanOrEqual(Math.floor(60_000 - (performance.now() - began) - 1));
  });

  test('retry is tight: a lone caller is admitted at retryAfterMs, and not before', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 60, max: 150 }), async (limit, windowMs) => {
        const l = limiter(limit, windowMs);
        const id = freshId();
        const started = performance.now();
        const earlier = [];
        for (let i = 0; i < limit; i++) earlier.push(await l.limit(id));
        const sent = performance.now();
        const denied = await l.limit(id);
        const received = performance.now();
        // If the machine stopped for a whole window here, the first slot would be free again by itself.
        fc.pre(received - started < windowMs);
        expect(earlier.every((d) => d.allowed)).toBe(true);
        expect(denied.allowed).toBe(false);
        // The store decided between `sent` and `received`, so the slot frees retryAfterMs after some moment between
        // them; 1 ms more, because its clock counts whole ones.
        const earliest = sent + denied.retryAfterMs - 1;
        const latest = received + denied.retryAfterMs + 1;
        for (;;) {
          const asked = performance.now();
          const { allowed } = await l.limit(id);
          if (allowed) {
            expect(performance.now()).toBeGreaterThanOrEqual(earliest);
            break;
          }
          expect(asked).toBeLessThan(latest);
        }
      }),
      { numRuns: 10 },
    );
  });

  test('the check’s own limit replaces the limiter’s, on the same history', async () => {
    const l = limiter(1, 60_000);
    const id = freshId();
    await l.check(id);
    await expect(l.check(id)).rejects.toMatchObject({ limit: 1, remaining: 0 });
    await l.check(id, { limit: 3 });
    expect(await l.status(id, { limit: 3 })).toMatchObject({ limit: 3, remaining: 1 });
    expect(await l.status(id)).toMatchObject({ limit: 1, remaining: 0 });
  });

  test('retryAfter is retryAfterMs in whole seconds, rounded up, at least one', async () => {
    const l = limiter(1, 59_500);
    const id = freshId();
    await l.check(id);
    const before = await l.limit(id);
    const error = await l.check(id).catch((e: unknown) => e);
    const after = await l.limit(id);
    expect(error).toBeInstanceOf(RateLimitError);
    const { retryAfter } = error as RateLimitError;
    expect(retryAfter).toBeLessThanOrEqual(Math.ceil(before.retryAfterMs / 1000));
    expect(retryAfter).toBeGreaterThanOrEqual(Math.ceil(after.retryAfterMs / 1000));
    const short = limiter(1, 250, 'short');
    const denied = async () => {
      const other = freshId();
      await short.check(other);
      return short.check(other).catch((e: unknown) => e);
    };
    expect(await within(250, denied)).toMatchObject({ name: 'RateLimitError', retryAfter: 1 });
  });

  test('limiters of the same name share their logs; those of another name do not', async () => {
    const id = freshId();
    await limiter(1, 60_000, 'shared').check(id);
    await expect(limiter(1, 60_000, 'shared').check(id)).rejects.toThrow(RateLimitError);
    await limiter(1, 60_000, 'separate').check(id);
  });

  test('different ids never share a log, however they are spelled', async () => {
    const l = limiter(1, 60_000);
    const prefix = freshId();
    const ids = [
      'a:b',
      'a',
      'b',
      '{a}',
      'a}',
      '*',
      'a*',
      '%2A',
      '%',
      '\n',
      '\u0000',
      'ä',
      'a\u0308',
      '💥',
      ' ',
      'a b',
      'A',
    ];
    for (const id of ids) await l.check(prefix + id);
    for (const id of ids) await expect(l.check(prefix + id)).rejects.toThrow(RateLimitError);
  });

  test('a slot is free again at exactly the end of its window', async () => {
    const l = limiter(1, 120);
    const id = freshId();
    const { reset } = await l.limit(id);
    await pass(Math.max(0, reset - Date.now()) + 1);
    expect(await l.status(id)).toMatchObject({ remaining: 1 });
    expect(await l.limit(id)).toMatchObject({ allowed: true });
  });

  test('a hundred concurrent requests: exactly the limit is admitted, and each slot once', async () => {
    const l = limiter(30, 60_000);
    const id = freshId();
    const decisions = await Promise.all(Array.from({ length: 100 }, () => l.limit(id)));
    const admitted = decisions.filter((d) => d.allowed);
    expect(admitted.map((d) => d.remaining).sort((a, b) => a - b)).toEqual(Array.from({ length: 30 }, (_, i) => i));
    expect(decisions.filter((d) => !d.allowed).every((d) => d.remaining === 0)).toBe(true);
  });
});
