import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  RateLimiter,
  checkCreatorRateLimit,
  close,
  configure,
  getRateLimitStatus,
  onAnomaly,
  resetCreatorRateLimit,
} from '@huntaze/rate-limit';

// Every row of the contract's table, through every function that takes the argument.

const badIds: [string, unknown, new () => Error, string][] = [
  ['undefined', undefined, TypeError, 'ERR_INVALID_ARG_TYPE'],
  ['null', null, TypeError, 'ERR_INVALID_ARG_TYPE'],
  ['a boolean', true, TypeError, 'ERR_INVALID_ARG_TYPE'],
  ['a bigint', 1n, TypeError, 'ERR_INVALID_ARG_TYPE'],
  ['a symbol', Symbol('id'), TypeError, 'ERR_INVALID_ARG_TYPE'],
  ['an object', { toString: () => '7' }, TypeError, 'ERR_INVALID_ARG_TYPE'],
  ['an array', ['7'], TypeError, 'ERR_INVALID_ARG_TYPE'],
  ['NaN', NaN, RangeError, 'ERR_OUT_OF_RANGE'],
  ['Infinity', Infinity, RangeError, 'ERR_OUT_OF_RANGE'],
  ['-Infinity', -Infinity, RangeError, 'ERR_OUT_OF_RANGE'],
  ['a negative number', -1, RangeError, 'ERR_OUT_OF_RANGE'],
  ['a fraction', 1.5, RangeError, 'ERR_OUT_OF_RANGE'],
  ['2^53', 2 ** 53, RangeError, 'ERR_OUT_OF_RANGE'],
  ['an empty string', '', RangeError, 'ERR_OUT_OF_RANGE'],
  ['257 bytes', 'a'.repeat(257), RangeError, 'ERR_OUT_OF_RANGE'],
  ['258 bytes in 86 characters', '€'.repeat(86), RangeError, 'ERR_OUT_OF_RANGE'],
  ['a lone surrogate', 'a\ud800b', TypeError, 'ERR_INVALID_ARG_VALUE'],
];

const badPlans: [string, unknown][] = [
  ['unknown', 'gold'],
  ['of another case', 'PRO'],
  ['__proto__', '__proto__'],
  ['constructor', 'constructor'],
  ['null', null],
  ['a number', 1],
  ['an empty string', ''],
  ['a list', ['pro']],
];

/** The error that a call rejects with. A call that throws synchronously is a failure. */
async function rejection(call: () => Promise<unknown>): Promise<Error & { code?: string }> {
  const promise = call();
  expect(promise).toBeInstanceOf(Promise);
  return promise.then(
    () => {
      throw new Error('resolved');
    },
    (error) => error,
  );
}

function thrown(call: () => unknown): Error & { code?: string } {
  try {
    call();
  } catch (error) {
    return error as Error;
  }
  throw new Error('did not throw');
}

const limiter = new RateLimiter({ name: 'bad-input', limit: 1, windowMs: 1000 });
const loose = (value: unknown) => value as never;

afterAll(async () => {
  await close();
  await limiter.close();
});

describe.each(badIds)('id %s', (_, id, type, code) => {
  test.each<[string, (id: never) => Promise<unknown>]>([
    ['checkCreatorRateLimit', checkCreatorRateLimit],
    ['getRateLimitStatus', getRateLimitStatus],
    ['resetCreatorRateLimit', resetCreatorRateLimit],
    ['limit', (id) => limiter.limit(id)],
    ['check', (id) => limiter.check(id)],
    ['status', (id) => limiter.status(id)],
    ['reset', (id) => limiter.reset(id)],
  ])('%s rejects', async (_name, call) => {
    const error = await rejection(() => call(loose(id)));
    expect(error).toBeInstanceOf(type);
    expect(error.code).toBe(code);
    expect(error.message).toMatch(/^(creatorId|id) must be /);
  });
});

test.each(badPlans)('plan %s', async (_, plan) => {
  for (const call of [checkCreatorRateLimit, getRateLimitStatus]) {
    const error = await rejection(() => call(1, loose(plan)));
    expect(error).toBeInstanceOf(TypeError);
    expect(error.code).toBe('ERR_INVALID_ARG_VALUE');
    expect(error.message).toContain("'starter', 'pro', 'business'");
  }
});

test('the largest and longest ids are accepted', async () => {
  for (const id of [0, -0, 2 ** 53 - 1, 'a'.repeat(256), '€'.repeat(85), '💥'.repeat(64)]) {
    await limiter.reset(id);
    await expect(limiter.check(id)).resolves.toBeUndefined();
  }
});

test.each<[unknown, new () => Error, string]>([
  [0, RangeError, 'ERR_OUT_OF_RANGE'],
  [1.5, RangeError, 'ERR_OUT_OF_RANGE'],
  [1_000_001, RangeError, 'ERR_OUT_OF_RANGE'],
  [NaN, RangeError, 'ERR_OUT_OF_RANGE'],
  ['5', TypeError, 'ERR_INVALID_ARG_TYPE'],
  [null, TypeError, 'ERR_INVALID_ARG_TYPE'],
])('the limit of one check: %p', async (limit, type, code) => {
  for (const method of ['limit', 'check', 'status'] as const) {
    const error = await rejection(() => limiter[method](1, { limit: loose(limit) }));
    expect(error).toBeInstanceOf(type);
    expect(error.code).toBe(code);
    expect(error.message).toContain('options.limit must be a whole number from 1 to 1000000');
  }
});

test('an unknown option of one check', async () => {
  const error = await rejection(() => limiter.limit(1, loose({ limits: 3 })));
  expect(error).toMatchObject({ code: 'ERR_INVALID_ARG_VALUE' });
  expect(error.message).toContain('options.limits');
});

const CA = readFileSync(join(__dirname, 'fixtures/tls/ca.pem'), 'utf8');
const frame = (label: string, base64: string) => `-----BEGIN ${label}-----\n${base64}\n-----END ${label}-----\n`;
const NO_CERTIFICATE = frame('CERTIFICATE', Buffer.from('bytes that are none').toString('base64'));
const host = (value: string) => ({ ...good, redis: { host: value } });
const tls = (value: object) => ({ ...good, redis: { host: 'h', tls: value } });
const good = { name: 'x', limit: 1, windowMs: 1000 };
const T = 'ERR_INVALID_ARG_TYPE';
const V = 'ERR_INVALID_ARG_VALUE';
const R = 'ERR_OUT_OF_RANGE';
const badOptions: [string, unknown, string, string][] = [
  ['nothing', undefined, T, 'options'],
  ['null', null, T, 'options'],
  ['an unknown option', { ...good, limits: 1 }, V, 'options.limits'],
  ['no name', { ...good, name: undefined }, T, 'options.name'],
  ['an empty name', { ...good, name: '' }, V, 'options.name'],
  ['a name that would need escaping', { ...good, name: 'a:b' }, V, 'options.name'],
  ['a name too long', { ...good, name: 'a'.repeat(65) }, V, 'options.name'],
  ['no limit', { ...good, limit: undefined }, T, 'options.limit'],
  ['limit 0', { ...good, limit: 0 }, R, 'options.limit'],
  ['limit above a million', { ...good, limit: 1_000_001 }, R, 'options.limit'],
  ['a fractional limit', { ...good, limit: 1.5 }, R, 'options.limit'],
  ['a limit as text', { ...good, limit: '1' }, T, 'options.limit'],
  ['no window', { ...good, windowMs: undefined }, T, 'options.windowMs'],
  ['window 0', { ...good, windowMs: 0 }, R, 'options.windowMs'],
  ['a window of 32 days', { ...good, windowMs: 32 * 86_400_000 }, R, 'options.windowMs'],
  ['an unknown policy', { ...good, onStoreError: 'deny' }, V, 'options.onStoreError'],
  ['timeoutMs 0', { ...good, timeoutMs: 0 }, R, 'options.timeoutMs'],
  ['denyCacheMs below 0', { ...good, denyCacheMs: -1 }, R, 'options.denyCacheMs'],
  ['denyCacheMs as text', { ...good, denyCacheMs: '1' }, T, 'options.denyCacheMs'],
  ['anomaly true', { ...good, anomaly: true }, T, 'options.anomaly'],
  ['anomaly factor below 1', { ...good, anomaly: { factor: 0.5 } }, R, 'options.anomaly.factor'],
  ['an unknown anomaly option', { ...good, anomaly: { window: 1 } }, V, 'options.anomaly.window'],
  ['redis as text', { ...good, redis: 'redis://h' }, T, 'options.redis'],
  ['redis with nothing', { ...good, redis: {} }, V, 'options.redis'],
  ['a url and a host', { ...good, redis: { url: 'redis://h', host: 'h' } }, V, 'options.redis'],
  ['a url and a port', { ...good, redis: { url: 'redis://h', port: 1 } }, V, 'options.redis.port'],
  ['an https url', { ...good, redis: { url: 'https://h' } }, V, 'redis.url'],
  ['a url with #insecure', { ...good, redis: { url: 'rediss://h/#insecure' } }, V, 'redis.url'],
  ['a url with a query', { ...good, redis: { url: 'redis://h/?db=1' } }, V, 'redis.url'],
  ['a url for a host', { ...good, redis: { host: 'redis://h' } }, V, 'options.redis.host'],
  ['a host with its port', { ...good, redis: { host: 'h:6380' } }, V, 'options.redis.port'],
  ['a host of two lines', { ...good, redis: { host: 'h\nforged' } }, V, 'redis.host'],
  ['brackets around no host', { ...good, redis: { host: '[]' } }, V, 'redis.host'],
  ['port 0', { ...good, redis: { host: 'h', port: 0 } }, R, 'options.redis.port'],
  ['port 65536', { ...good, redis: { host: 'h', port: 65_536 } }, R, 'options.redis.port'],
  ['a port as text', { ...good, redis: { host: 'h', port: '6379' } }, T, 'options.redis.port'],
  ['a password that is a number', { ...good, redis: { host: 'h', password: 1 } }, T, 'options.redis.password'],
  ['an empty password', { ...good, redis: { host: 'h', password: '' } }, V, 'options.redis.password'],
  ['an empty list of passwords', { ...good, redis: { host: 'h', password: [] } }, V, 'options.redis.password'],
  ['a list with a number', { ...good, redis: { host: 'h', password: ['a', 1] } }, T, 'options.redis.password[1]'],
  ['tls as text', { ...good, redis: { host: 'h', tls: 'yes' } }, T, 'options.redis.tls'],
  [
    'an unknown tls option',
    { ...good, redis: { host: 'h', tls: { rejectUnauthorized: false } } },
    V,
    'options.redis.tls.rejectUnauthorized',
  ],
  ['a ca that is no certificate', { ...good, redis: { host: 'h', tls: { ca: 'x' } } }, V, 'redis.tls.ca'],
  ['tls off on rediss', { ...good, redis: { url: 'rediss://h', tls: false } }, V, 'redis.tls'],
  ['17 connections', { ...good, redis: { host: 'h', connections: 17 } }, R, 'options.redis.connections'],
  ['a database on a cluster', { ...good, redis: { host: 'h', database: 1, cluster: true } }, V, 'redis.cluster'],
  ['a host after a space', host(' localhost'), V, 'redis.host'],
  ['a host before a line break', host('localhost\n'), V, 'redis.host'],
  ['a host of two words', host('my host'), V, 'redis.host'],
  ['a host of 254 characters', host('a.'.repeat(127)), V, 'redis.host'],
  ['a label of 64 characters', host(`${'a'.repeat(64)}.example`), V, 'redis.host'],
  ['an empty label', host('a..b'), V, 'redis.host'],
  ['a leading hyphen', host('-a.example'), V, 'redis.host'],
  ['a template', host('${REDIS_HOST}'), V, 'redis.host'],
  ['a host in quotes', host('"localhost"'), V, 'redis.host'],
  ['an address out of range', host('127.0.0.300'), V, 'redis.host'],
  ['brackets around a name', host('[localhost]'), V, 'redis.host'],
  ['a lone surrogate', host('a\ud800'), V, 'redis.host'],
  ['a url after a space', { ...good, redis: { url: ' redis://h' } }, V, 'redis.url'],
  ['a url before a line break', { ...good, redis: { url: 'redis://h\n' } }, V, 'redis.url'],
  ['a tab in a url', { ...good, redis: { url: 'redis://:a\tb@h' } }, V, 'redis.url'],
  ['a url with a host of two words', { ...good, redis: { url: 'redis://my%20host' } }, V, 'redis.url'],
  ['a url with an invalid address', { ...good, redis: { url: 'redis://10.1.2.777' } }, V, 'redis.url'],
  ['two databases', { ...good, redis: { url: 'redis://h/1', database: 2 } }, V, 'redis.database'],
  ['database 0 and another', { ...good, redis: { url: 'redis://h/0', database: 3 } }, V, 'redis.database'],
  ['two users', { ...good, redis: { url: 'redis://a:x@h', username: 'b' } }, V, 'redis.username'],
  ['a user of two words', { ...good, redis: { host: 'h', username: 'a b' } }, V, 'redis.username'],
  ['a user before a line break', { ...good, redis: { host: 'h', username: 'a\n' } }, V, 'redis.username'],
  ['a user of two words in a url', { ...good, redis: { url: 'redis://a%20b:x@h' } }, V, 'redis.url'],
  ['a lone surrogate in a password', { ...good, redis: { host: 'h', password: 'a\ud800' } }, V, 'redis.password'],
  ['a servername of three words', tls({ servername: 'not a name' }), V, 'redis.tls.servername'],
  ['a servername with its port', tls({ servername: 'h:6380' }), V, 'redis.tls.servername'],
  ['a servername after a space', tls({ servername: ' h' }), V, 'redis.tls.servername'],
  ['a wildcard servername', tls({ servername: '*.example' }), V, 'redis.tls.servername'],
  ['an IPv6 zone with TLS', { ...good, redis: { host: 'fe80::1%eth0', tls: true } }, V, 'redis.host'],
  ['a PEM frame without a certificate', tls({ ca: NO_CERTIFICATE }), V, 'redis.tls.ca'],
  ['a certificate after an invalid one', tls({ ca: NO_CERTIFICATE + CA }), V, 'redis.tls.ca'],
  ['an invalid certificate after a valid one', tls({ ca: CA + NO_CERTIFICATE }), V, 'redis.tls.ca'],
  ['a truncated ca', tls({ ca: CA.slice(0, -40) }), V, 'redis.tls.ca'],
  ['a ca without its last line', tls({ ca: CA.replace(/\n.+\n-----END/, '\n-----END') }), V, 'redis.tls.ca'],
  ['a private key as a ca', tls({ ca: frame('PRIVATE KEY', 'AAAA') }), V, 'redis.tls.ca'],
  ['a file path as a ca', tls({ ca: '/etc/ssl/ca.pem' }), V, 'redis.tls.ca'],
  ['a ca in one line', tls({ ca: CA.replaceAll('\n', '\\n') }), V, 'redis.tls.ca'],
  ['a list of cas', tls({ ca: [CA] }), T, 'redis.tls.ca'],
  ['connectTimeoutMs 0', { ...good, redis: { host: 'h', connectTimeoutMs: 0 } }, R, 'options.redis.connectTimeoutMs'],
];

test.each(badOptions)('the constructor throws on %s', (_, options, code, named) => {
  const error = thrown(() => new RateLimiter(loose(options)));
  expect(error).toBeInstanceOf(code === R ? RangeError : TypeError);
  expect(error.code).toBe(code);
  expect(error.message).toContain(named);
});

test.each<[string, object]>([
  ['an underscore, as in container names', { host: 'my_redis' }],
  ['a trailing dot', { host: 'redis.example.' }],
  ['253 characters', { host: ['a'.repeat(63), 'b'.repeat(63), 'c'.repeat(63), 'd'.repeat(61)].join('.') }],
  ['IPv4', { host: '10.1.2.3' }],
  ['IPv6', { host: '2001:db8::1' }],
  ['IPv6 in brackets', { host: '[2001:db8::1]' }],
  ['an IPv6 zone', { host: 'fe80::1%eth0' }],
  ['the same database twice', { url: 'redis://h/2', database: 2 }],
  ['a database beside a url without', { url: 'redis://h/', database: 2 }],
  ['the same user twice', { url: 'redis://a:x@h', username: 'a' }],
  ['a password other than that of the url', { url: 'redis://:old@h', password: 'new' }],
  ['a password of spaces', { host: 'h', password: ' ' }],
  ['a password in a url, with a space', { url: 'redis://:a b@h' }],
  ['an IP address as a servername', { host: 'h', tls: { servername: '10.1.2.3' } }],
  ['an IPv6 address in brackets as a servername', { host: 'h', tls: { servername: '[::1]' } }],
  ['a servername for a host that no certificate can name', { host: 'fe80::1%eth0', tls: { servername: 'h' } }],
  ['a ca with CRLF line ends', { host: 'h', tls: { ca: CA.replaceAll('\n', '\r\n') } }],
  ['a ca with its key', { host: 'h', tls: { ca: CA + frame('PRIVATE KEY', 'AAAA') } }],
])('the constructor accepts %s', (_, redis) => {
  expect(new RateLimiter({ ...good, redis: loose(redis) })).toBeInstanceOf(RateLimiter);
  configure({ redis: loose(redis) });
});

test('configure checks the same options, and the plans', () => {
  expect(thrown(() => configure({ redis: { host: 'a b' } }))).toMatchObject({ code: V });
  expect(thrown(() => configure(loose({ timeoutMs: 0 })))).toMatchObject({ code: R });
  expect(thrown(() => configure(loose({ name: 'x' })))).toMatchObject({ code: V });
  expect(thrown(() => configure(loose({ plans: { gold: 5 } })))).toMatchObject({ code: V });
  expect(thrown(() => configure({ plans: { pro: 0 } })).message).toContain('options.plans.pro');
});

test.each(['limit', 'check', 'status', 'reset'] as const)(
  '%s without its limiter rejects, and does not throw',
  async (name) => {
    const method = limiter[name] as (id: string) => Promise<unknown>;
    const calls = [
      () => method('a'),
      () => Reflect.apply(method, {}, ['a']),
      () => Reflect.apply(method, new Proxy(limiter, {}), ['a']),
    ];
    for (const call of calls) expect(await rejection(call)).toBeInstanceOf(TypeError);
  },
);

test('a listener must be a function', () => {
  expect(thrown(() => onAnomaly(loose(undefined)))).toMatchObject({ code: T });
  expect(thrown(() => limiter.onAnomaly(loose({})))).toMatchObject({ code: T });
});

test('no message repeats an id or a password', async () => {
  const canary = 'canary\n\u001b[31m';
  const messages = [
    (await rejection(() => limiter.limit(`${canary}${'x'.repeat(300)}`))).message,
    (await rejection(() => checkCreatorRateLimit(1, loose(canary)))).message,
    thrown(() => new RateLimiter({ ...good, redis: { url: `https://user:${canary}@h` } })).message,
    thrown(() => new RateLimiter({ ...good, redis: { host: 'h', password: ['a', loose({ canary })] } })).message,
  ];
  for (const message of messages) expect(message).not.toContain(canary);
  expect(messages[2]).not.toContain('canary');
});
