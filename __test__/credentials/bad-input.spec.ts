import { RateLimiter, elastiCacheIam } from '@huntaze/rate-limit';

// Invalid options of elastiCacheIam, by the contract's rules: the message names the option, never its value.

const GOOD = { cache: 'limits', username: 'limiter' };
const SECRET = 'Zaunkoenig7Fink';

test.each<[string, object, string, string]>([
  ['no options', undefined as never, 'options', 'ERR_INVALID_ARG_TYPE'],
  ['an unknown option', { ...GOOD, host: 'there' }, 'options.host', 'ERR_INVALID_ARG_VALUE'],
  ['no cache', { username: 'limiter' }, 'options.cache', 'ERR_INVALID_ARG_TYPE'],
  ['an endpoint', { ...GOOD, cache: 'limits.x.cache.amazonaws.com' }, 'options.cache', 'ERR_INVALID_ARG_VALUE'],
  ['a cache that begins with a hyphen', { ...GOOD, cache: '-limits' }, 'options.cache', 'ERR_INVALID_ARG_VALUE'],
  ['a cache that ends in a hyphen', { ...GOOD, cache: 'limits-' }, 'options.cache', 'ERR_INVALID_ARG_VALUE'],
  ['two hyphens in a row', { ...GOOD, cache: 'the--limits' }, 'options.cache', 'ERR_INVALID_ARG_VALUE'],
  ['a user with a space', { ...GOOD, username: 'the limiter' }, 'options.username', 'ERR_INVALID_ARG_VALUE'],
  ['no user', { cache: 'limits' }, 'options.username', 'ERR_INVALID_ARG_TYPE'],
  ['an empty user', { ...GOOD, username: '' }, 'options.username', 'ERR_INVALID_ARG_VALUE'],
  ['a lone surrogate', { ...GOOD, username: 'a\ud800' }, 'options.username', 'ERR_INVALID_ARG_VALUE'],
  ['a region with a slash', { ...GOOD, region: 'eu/west' }, 'options.region', 'ERR_INVALID_ARG_VALUE'],
  ['a region of another type', { ...GOOD, region: 1 }, 'options.region', 'ERR_INVALID_ARG_TYPE'],
  ['a string as serverless', { ...GOOD, serverless: 'yes' }, 'options.serverless', 'ERR_INVALID_ARG_TYPE'],
  ['credentials null', { ...GOOD, credentials: null }, 'options.credentials', 'ERR_INVALID_ARG_TYPE'],
  [
    'half of them',
    { ...GOOD, credentials: { secretAccessKey: SECRET } },
    'options.credentials',
    'ERR_INVALID_ARG_TYPE',
  ],
  [
    'a text as their end',
    { ...GOOD, credentials: { accessKeyId: 'a', secretAccessKey: SECRET, expiration: SECRET } },
    'options.credentials',
    'ERR_INVALID_ARG_TYPE',
  ],
])('%s', (_, options, named, code) => {
  let thrown: (Error & { code?: string }) | undefined;
  try {
    elastiCacheIam(options as never);
  } catch (error) {
    thrown = error as Error;
  }
  expect(thrown).toBeInstanceOf(TypeError);
  expect([thrown!.code, thrown!.message]).toEqual([code, expect.stringContaining(`${named} must be `)]);
  expect(thrown!.message).not.toContain(SECRET);
});

describe('beside redis.username', () => {
  const options = { name: 'iam', limit: 1, windowMs: 1000 };
  const password = elastiCacheIam(GOOD);

  test.each([
    ['another', { host: 'there', username: 'other', password }],
    ['none', { host: 'there', password }],
    ['another in the URL', { url: 'redis://other@there', password }],
    ['none in the URL', { url: 'redis://there', password }],
    ['another, and a URL', { url: 'redis://there', username: 'other', password }],
  ])('%s is refused, as its tokens would be', (_, redis) => {
    expect(() => new RateLimiter({ ...options, redis })).toThrow(
      expect.objectContaining({
        code: 'ERR_INVALID_ARG_VALUE',
        message: expect.stringContaining('options.redis.username must be the user'),
      }),
    );
  });

  test('tls: false is refused: ElastiCache accepts tokens over TLS alone', () => {
    const redis = { host: 'there', username: 'limiter', password, tls: false };
    expect(() => new RateLimiter({ ...options, redis })).toThrow(
      expect.objectContaining({
        code: 'ERR_INVALID_ARG_VALUE',
        message: expect.stringContaining('options.redis.tls must be on'),
      }),
    );
  });

  test('the same user, as an option or in the URL, is accepted', () => {
    expect(new RateLimiter({ ...options, redis: { host: 'there', username: 'limiter', password } })).toBeDefined();
    expect(new RateLimiter({ ...options, redis: { url: 'redis://limiter@there', password } })).toBeDefined();
  });
});
