import fc from 'fast-check';
import { RateLimitError, RateLimiter, rateLimitHeaders, type Decision } from '@huntaze/rate-limit';
import type * as RateLimit from '@huntaze/rate-limit';
import { freshId } from '../support/stores';

const NOW = 1_800_000_000_250;
const HOUR = { windowMs: 3_600_000 };

const allowed: Decision = {
  allowed: true,
  limit: 50,
  remaining: 49,
  reset: NOW + 3_600_000,
  resetAfterMs: 3_600_000,
  retryAfterMs: 0,
  source: 'redis',
};
const denied: Decision = { ...allowed, allowed: false, remaining: 0, retryAfterMs: 1201 };

beforeEach(() => jest.spyOn(Date, 'now').mockReturnValue(NOW));
afterEach(() => jest.restoreAllMocks());

test('an allowed request', () => {
  expect(rateLimitHeaders(allowed, HOUR)).toStrictEqual({
    'X-RateLimit-Limit': '50',
    'X-RateLimit-Remaining': '49',
    'X-RateLimit-Reset': '1800003601',
    'RateLimit-Policy': '"default";q=50;w=3600',
    RateLimit: '"default";r=49;t=3600',
  });
});

test('a denied request: every header names the moment at which a lone caller is admitted', () => {
  expect(rateLimitHeaders(denied, HOUR)).toStrictEqual({
    'X-RateLimit-Limit': '50',
    'X-RateLimit-Remaining': '0',
    'X-RateLimit-Reset': '1800000002',
    'RateLimit-Policy': '"default";q=50;w=3600',
    RateLimit: '"default";r=0;t=2',
    'Retry-After': '2',
  });
});

test('the headers of a RateLimitError are the same', () => {
  expect(rateLimitHeaders(new RateLimitError(2, 50, 0), HOUR)).toStrictEqual({
    ...rateLimitHeaders(denied, HOUR),
    // The error has whole seconds only.
    'X-RateLimit-Reset': '1800000003',
  });
});

test('a real check and its error', async () => {
  jest.restoreAllMocks();
  const limiter = new RateLimiter({ name: freshId(), limit: 1, windowMs: 3_600_000, anomaly: false });
  await limiter.check('id');
  const error = (await limiter.check('id').catch((e: unknown) => e)) as RateLimitError;
  expect(error).toBeInstanceOf(RateLimitError);
  expect(rateLimitHeaders(error)).toMatchObject({
    'Retry-After': `${error.retryAfter}`,
    RateLimit: `"default";r=0;t=${error.retryAfter}`,
    'X-RateLimit-Limit': '1',
  });
  await limiter.close();
});

test('the headers of a real denial match its decision, whatever this machine’s clock says', async () => {
  jest.spyOn(Date, 'now').mockReturnValue(NOW + 86_400_000);
  const limiter = new RateLimiter({ name: freshId(), limit: 1, windowMs: 5_000, anomaly: false });
  const { resetAfterMs } = await limiter.limit('id');
  expect(resetAfterMs).toBe(5_000);
  const { decision } = (await limiter.check('id').catch((e: unknown) => e)) as RateLimitError;
  expect(decision).toMatchObject({ allowed: false, limit: 1, remaining: 0, source: 'memory' });
  // Its only admission frees the slot and empties the window.
  expect(decision!.resetAfterMs).toBe(decision!.retryAfterMs);
  expect(decision!.resetAfterMs).toBeLessThanOrEqual(5_000);
  const { RateLimit } = rateLimitHeaders(decision!);
  expect(RateLimit).toBe(`"default";r=0;t=${Math.max(1, Math.ceil(decision!.retryAfterMs / 1000))}`);
  await limiter.close();
});

test('an error of another copy of the module is accepted', () => {
  let copy!: typeof RateLimit;
  jest.isolateModules(() => {
    copy = require('@huntaze/rate-limit');
  });
  expect(copy.RateLimitError).not.toBe(RateLimitError);
  expect(rateLimitHeaders(new copy.RateLimitError(7, 5, 0))).toMatchObject({ 'Retry-After': '7' });
});

test('the policy has a name, and a window only if it is given', () => {
  expect(rateLimitHeaders(allowed)).toMatchObject({
    'RateLimit-Policy': '"default";q=50',
    RateLimit: '"default";r=49;t=3600',
  });
  expect(rateLimitHeaders(denied, { name: 'per-hour', windowMs: 1 })).toMatchObject({
    'RateLimit-Policy': '"per-hour";q=50;w=1',
    RateLimit: '"per-hour";r=0;t=2',
  });
});

describe.each([-7_200_000, -60_000, 60_000, 7_200_000])('a machine whose clock is %i ms off', (off) => {
  beforeEach(() => jest.spyOn(Date, 'now').mockReturnValue(NOW + off));

  test.each([undefined, HOUR])('announces the store’s times, with the policy %p', (policy) => {
    const fiveSeconds = { ...allowed, reset: NOW + 4_100, resetAfterMs: 4_100 };
    expect(rateLimitHeaders(fiveSeconds, policy)).toMatchObject({
      RateLimit: '"default";r=49;t=5',
      'X-RateLimit-Reset': '1800000005',
    });
    expect(rateLimitHeaders(denied, policy)).toMatchObject({
      RateLimit: '"default";r=0;t=2',
      'Retry-After': '2',
      'X-RateLimit-Reset': '1800000002',
    });
  });

  test('and so for an error that carries its decision', () => {
    const error = Object.assign(new RateLimitError(2, 50, 0), { decision: denied });
    expect(rateLimitHeaders(error, HOUR)).toStrictEqual(rateLimitHeaders(denied, HOUR));
  });

  test('omits what a decision of an older version does not have', () => {
    const { resetAfterMs: _, ...older } = allowed;
    expect(rateLimitHeaders(older as Decision, HOUR)).toMatchObject({
      RateLimit: '"default";r=49',
      'X-RateLimit-Reset': '1800003601',
    });
    const { resetAfterMs: _none, ...olderDenial } = denied;
    expect(rateLimitHeaders(olderDenial as Decision)).toMatchObject({
      RateLimit: '"default";r=0;t=2',
      'Retry-After': '2',
    });
  });
});

test('an obedient client is never early, and waits at least a whole second', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2_678_400_000 }), (retryAfterMs) => {
      const headers = rateLimitHeaders({ ...denied, retryAfterMs });
      const seconds = Number(headers['Retry-After']);
      expect(seconds * 1000).toBeGreaterThanOrEqual(Math.max(1000, retryAfterMs));
      expect(seconds * 1000).toBeLessThan(Math.max(1000, retryAfterMs) + 1000);
      expect(headers.RateLimit).toBe(`"default";r=0;t=${seconds}`);
      expect(Number(headers['X-RateLimit-Reset']) * 1000).toBeGreaterThanOrEqual(NOW + retryAfterMs);
    }),
  );
});

test('every result is valid for Headers, with structured fields of strings and integers', () => {
  const name = fc.stringMatching(/^[A-Za-z0-9._-]{1,64}$/);
  const field = /^"[\x20-\x21\x23-\x5b\x5d-\x7e]+"(?:;[a-z]+=\d{1,15})+$/;
  fc.assert(
    fc.property(name, fc.boolean(), fc.integer({ min: 1, max: 2_678_400_000 }), (name, isAllowed, windowMs) => {
      const headers = new Headers(rateLimitHeaders(isAllowed ? allowed : denied, { name, windowMs }));
      expect(headers.get('ratelimit')).toMatch(field);
      expect(headers.get('ratelimit-policy')).toMatch(field);
      expect(headers.has('retry-after')).toBe(!isAllowed);
    }),
  );
});

test.each([
  [undefined, 'ERR_INVALID_ARG_TYPE', 'result must be a Decision or a RateLimitError. Received type undefined'],
  [null, 'ERR_INVALID_ARG_TYPE', 'result'],
  [new Error('x'), 'ERR_INVALID_ARG_TYPE', 'result'],
  [{ ...allowed, limit: '50' }, 'ERR_INVALID_ARG_TYPE', 'result.limit'],
  [{ ...allowed, remaining: -1 }, 'ERR_OUT_OF_RANGE', 'result.remaining'],
  [{ ...allowed, remaining: 0.5 }, 'ERR_OUT_OF_RANGE', 'result.remaining'],
  [{ ...allowed, reset: NaN }, 'ERR_OUT_OF_RANGE', 'result.reset'],
  [{ ...allowed, resetAfterMs: '5' }, 'ERR_INVALID_ARG_TYPE', 'result.resetAfterMs'],
  [{ ...allowed, resetAfterMs: -1 }, 'ERR_OUT_OF_RANGE', 'result.resetAfterMs'],
  [{ ...denied, retryAfterMs: Infinity }, 'ERR_OUT_OF_RANGE', 'result.retryAfterMs'],
  [{ code: 'RATE_LIMITED' }, 'ERR_INVALID_ARG_TYPE', 'result.limit'],
  [new RateLimitError(-1, 50, 0), 'ERR_OUT_OF_RANGE', 'result.retryAfter'],
])('refuses %p', (result, code, message) => {
  expect(() => rateLimitHeaders(result as Decision)).toThrow(
    expect.objectContaining({ code, message: expect.stringContaining(message) }),
  );
});

test.each([
  [null, 'ERR_INVALID_ARG_TYPE', 'policy'],
  [{ window: 5 }, 'ERR_INVALID_ARG_VALUE', 'policy.window must be left out'],
  [{ name: 'a"b' }, 'ERR_INVALID_ARG_VALUE', 'policy.name'],
  [{ name: 'a\r\nSet-Cookie: x' }, 'ERR_INVALID_ARG_VALUE', 'policy.name'],
  [{ name: 7 }, 'ERR_INVALID_ARG_TYPE', 'policy.name'],
  [{ windowMs: 0 }, 'ERR_OUT_OF_RANGE', 'policy.windowMs'],
  [{ windowMs: '1h' }, 'ERR_INVALID_ARG_TYPE', 'policy.windowMs'],
])('refuses the policy %p', (policy, code, message) => {
  expect(() => rateLimitHeaders(allowed, policy as RateLimit.RateLimitPolicy)).toThrow(
    expect.objectContaining({ code, message: expect.stringContaining(message) }),
  );
});
