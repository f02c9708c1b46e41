import { join } from 'node:path';
import { RateLimiter, checkCreatorRateLimit, close } from '@huntaze/rate-limit';
import { freePort, startRedis, type RedisServer } from './support/redis';
import { freshId, overTls as store } from './support/stores';
import { HANG_MS, despiteConnectTimeouts } from './support/time';

// The meaning of each variable is tested in Rust, row by row; here: that the variables of this realm are read, that the
// first one set wins, and that errors name an invalid variable and never the secret.

const before = process.env;
let open: RateLimiter[] = [];
let plain: RedisServer;
let locked: RedisServer;

beforeAll(async () => {
  plain = await startRedis();
  locked = await startRedis('--requirepass', 'right');
});
afterAll(() => Promise.all([plain.stop(), locked.stop()]));
beforeEach(() => {
  process.env = { ...before };
  for (const name of Object.keys(process.env)) if (/REDIS/.test(name)) delete process.env[name];
});
afterEach(async () => {
  await close();
  await Promise.all(open.map((l) => l.close()));
  open = [];
  process.env = before;
});

/** The source of a decision, if Redis is the one in these variables. */
async function source(env: Record<string, string>): Promise<string> {
  Object.assign(process.env, env);
  const limiter = new RateLimiter({
    name: 'environment',
    limit: 5,
    windowMs: 1000,
    onStoreError: 'throw',
    timeoutMs: HANG_MS,
  });
  open.push(limiter);
  return (await despiteConnectTimeouts(() => limiter.limit(freshId()))).source;
}

test('nothing set: the embedded store', async () => {
  expect(await source({})).toBe('memory');
});

test('an empty variable counts as not set', async () => {
  expect(await source({ ELASTICACHE_REDIS_URL: '', REDIS_URL: '', REDIS_HOST: '' })).toBe('memory');
});

test('REDIS_URL', async () => {
  expect(await source({ REDIS_URL: plain.url })).toBe('redis');
});

test('the ElastiCache variables come first', async () => {
  const closed = await freePort();
  expect(await source({ REDIS_URL: `redis://127.0.0.1:${closed}`, ELASTICACHE_REDIS_URL: plain.url })).toBe('redis');
});

test('a URL comes before a host', async () => {
  expect(await source({ REDIS_URL: plain.url, ELASTICACHE_REDIS_HOST: 'nowhere.invalid' })).toBe('redis');
});

test('host, port and password', async () => {
  const env = { REDIS_HOST: '127.0.0.1', REDIS_PORT: `${locked.port}`, REDIS_PASSWORD: 'right' };
  expect(await source(env)).toBe('redis');
});

test('white space around a value is trimmed', async () => {
  const env = { REDIS_HOST: ' 127.0.0.1\r', REDIS_PORT: `\t${plain.port} `, REDIS_DB: ' 1 ', REDIS_TLS: 'no\n' };
  expect(await source(env)).toBe('redis');
});

test('white space in a password is kept', async () => {
  const spaced = await startRedis('--requirepass', ' right ');
  try {
    expect(await source({ REDIS_URL: spaced.url, REDIS_PASSWORD: ' right ' })).toBe('redis');
    await close();
    await expect(source({ REDIS_URL: spaced.url, REDIS_PASSWORD: 'right' })).rejects.toMatchObject({
      code: 'WRONGPASS',
    });
  } finally {
    await spaced.stop();
  }
});

test('different passwords are tried in order', async () => {
  const env = { REDIS_URL: locked.url, ELASTICACHE_REDIS_AUTH_TOKEN: 'old', REDIS_PASSWORD: 'right' };
  expect(await source(env)).toBe('redis');
});

test('TLS by variables, with the additional CAs of NODE_EXTRA_CA_CERTS', async () => {
  await store.start();
  const { port, password } = store.redis()!;
  const url = `rediss://:${(password as string[])[1]}@127.0.0.1:${port}`;
  await expect(source({ REDIS_URL: url })).rejects.toMatchObject({ code: 'TLS' });
  const NODE_EXTRA_CA_CERTS = join(__dirname, 'fixtures/tls/ca.pem');
  expect(await source({ REDIS_URL: url, NODE_EXTRA_CA_CERTS })).toBe('redis');
  const env = { REDIS_URL: url.replace('rediss', 'redis'), ELASTICACHE_REDIS_TLS: 'yes', NODE_EXTRA_CA_CERTS };
  expect(await source(env)).toBe('redis');
  await store.stop();
});

test.each<[string, Record<string, string>, string[]]>([
  ['a port that is not a number', { REDIS_HOST: 'h', REDIS_PORT: '63x' }, ['REDIS_PORT', '65535']],
  ['a host with its port', { REDIS_HOST: 'h:6380' }, ['REDIS_HOST', 'REDIS_PORT']],
  [
    'a URL left from Upstash',
    { REDIS_URL: 'https://user:sesame@eu1.upstash.io' },
    ['REDIS_URL', 'redis://', 'Upstash'],
  ],
  [
    'a database with a cluster',
    { REDIS_HOST: 'h', REDIS_DB: '1', REDIS_CLUSTER_MODE: 'true' },
    ['REDIS_CLUSTER_MODE', 'database'],
  ],
  ['#insecure', { REDIS_URL: 'rediss://:sesame@h/#insecure' }, ['REDIS_URL', 'verified']],
  ['a blank host', { REDIS_HOST: ' \t' }, ['REDIS_HOST', 'blanks', 'remove it']],
  ['a blank URL', { ELASTICACHE_REDIS_URL: ' ', REDIS_URL: 'redis://h' }, ['ELASTICACHE_REDIS_URL', 'blanks']],
  ['a blank password', { REDIS_HOST: 'h', REDIS_PASSWORD: '\n' }, ['REDIS_PASSWORD', 'blanks']],
  ['a host with a space', { REDIS_HOST: 'my host' }, ['REDIS_HOST', 'host name', '253']],
  ['an invalid address', { ELASTICACHE_REDIS_HOST: '10.0.0.256' }, ['ELASTICACHE_REDIS_HOST', 'address']],
  [
    'two databases',
    { REDIS_URL: 'redis://:sesame@h/1', REDIS_DATABASE: '2' },
    ['REDIS_DATABASE', 'REDIS_URL', 'remove one'],
  ],
  ['a user with a space', { REDIS_HOST: 'h', REDIS_USERNAME: 'a b' }, ['REDIS_USERNAME', 'space']],
  ['an invalid TLS flag', { REDIS_HOST: 'h', REDIS_TLS: 'maybe' }, ['REDIS_TLS', 'true']],
])('%s: ERR_RATE_LIMIT_CONFIG at every call, with the correction', async (_, env, named) => {
  Object.assign(process.env, env);
  for (let i = 0; i < 2; i++) {
    const error: Error = await checkCreatorRateLimit(1).then(
      () => Promise.reject(new Error('resolved')),
      (e) => e,
    );
    expect(error).toMatchObject({ name: 'Error', code: 'ERR_RATE_LIMIT_CONFIG' });
    for (const text of named) expect(error.message).toContain(text);
    expect(error.message).not.toContain('sesame');
  }
});

test('in production the embedded store is logged once', async () => {
  const warn = jest.spyOn(console, 'warn').mockImplementation(() => {});
  try {
    await source({ NODE_ENV: 'production' });
    await source({ NODE_ENV: 'production' });
    expect(warn.mock.calls.map(String)).toEqual([expect.stringContaining('No Redis is configured')]);
  } finally {
    warn.mockRestore();
  }
});
