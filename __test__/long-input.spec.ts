import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import {
  RateLimiter,
  checkCreatorRateLimit,
  configure,
  connectionRoute,
  elastiCacheIam,
  getRateLimitStatus,
  rateLimitHeaders,
  resetCreatorRateLimit,
  testConnection,
  withRateLimit,
} from '@huntaze/rate-limit';

// A string that is too long is refused by its length alone. Reading it is detected, and not timed: V8 represents the
// result of repeat() as a tree of a few nodes, and any reader, be it a regular expression, an encoder or the native
// module, turns it into one flat string first, which stays on the heap for as long as the string lives.

const LENGTH = 2 ** 26;

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

/** Bytes on the heap, without garbage such as the flat string of an earlier test. */
function heapUsed(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

const limiter = new RateLimiter({ name: 'long-input', limit: 1, windowMs: 1000 });
const options = { name: 'x', limit: 1, windowMs: 1000 };
const at = (redis: object) => () => new RateLimiter({ ...options, redis: redis as never });
const iam = { cache: 'limits', username: 'limiter' };
const decision = {
  allowed: true,
  limit: 1,
  remaining: 1,
  reset: 1,
  resetAfterMs: 1,
  retryAfterMs: 0,
  source: 'memory',
} as const;
const never = () => {
  throw new Error('the handler ran');
};

afterAll(() => limiter.close());

const takers: [string, (text: never) => unknown][] = [
  ['checkCreatorRateLimit', (id) => checkCreatorRateLimit(id)],
  ['getRateLimitStatus', (id) => getRateLimitStatus(id)],
  ['resetCreatorRateLimit', (id) => resetCreatorRateLimit(id)],
  ['limit', (id) => limiter.limit(id)],
  ['check', (id) => limiter.check(id)],
  ['status', (id) => limiter.status(id)],
  ['reset', (id) => limiter.reset(id)],
  ['a plan', (plan) => checkCreatorRateLimit(1, plan)],
  ['a name', (name) => new RateLimiter({ ...options, name })],
  ['onStoreError', (onStoreError) => configure({ onStoreError })],
  ['redis.url', (url) => at({ url })()],
  ['redis.host', (host) => at({ host })()],
  ['redis.username', (username) => at({ host: 'h', username })()],
  ['redis.password', (password) => at({ host: 'h', password })()],
  ['one of several passwords', (password) => at({ host: 'h', password: ['a', password] })()],
  ['redis.tls.ca', (ca) => at({ host: 'h', tls: { ca } })()],
  ['redis.tls.servername', (servername) => at({ host: 'h', tls: { servername } })()],
  ['elastiCacheIam: cache', (cache) => elastiCacheIam({ ...iam, cache })],
  ['elastiCacheIam: username', (username) => elastiCacheIam({ ...iam, username })],
  ['elastiCacheIam: region', (region) => elastiCacheIam({ ...iam, region })],
  ['the name of a policy', (name) => rateLimitHeaders(decision, { name })],
  ['the plan of a route', (plan) => withRateLimit(never, { id: () => 1, plan })],
  ['a correlation id', (correlationId) => testConnection({ correlationId })],
  ['an operator token', (operatorToken) => connectionRoute({ operatorToken })],
];

async function refusal(call: () => unknown): Promise<Error & { code?: string }> {
  try {
    await call();
  } catch (error) {
    return error as Error;
  }
  throw new Error('was taken');
}

test.each(takers)('%s: a string that is too long is refused unread, and not quoted', async (_, take) => {
  const text = 'a'.repeat(LENGTH);
  const before = heapUsed();
  const error = await refusal(() => take(text as never));
  const grown = heapUsed() - before;
  expect(error.code).toMatch(/^ERR_(INVALID_ARG_VALUE|OUT_OF_RANGE)$/);
  expect(error.message.length).toBeLessThan(300);
  expect(grown).toBeLessThan(LENGTH / 2);
  expect(text).toHaveLength(LENGTH);
});

test('a route answers 400 to an id that is too long, unread', async () => {
  const text = 'a'.repeat(LENGTH);
  const route = withRateLimit(never, { id: () => text });
  const before = heapUsed();
  const response = await route(new Request('http://localhost/'));
  expect(heapUsed() - before).toBeLessThan(LENGTH / 2);
  expect(response.status).toBe(400);
  expect((await response.text()).length).toBeLessThan(300);
  expect(text).toHaveLength(LENGTH);
});

test('the control: reading a string is detected', () => {
  const text = 'a'.repeat(LENGTH);
  const before = heapUsed();
  expect(/b/.test(text)).toBe(false);
  expect(heapUsed() - before).toBeGreaterThan(LENGTH / 2);
  expect(text).toHaveLength(LENGTH);
});
