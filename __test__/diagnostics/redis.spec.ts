import { createServer, type AddressInfo, type Server } from 'node:net';
import {
  checkCreatorRateLimit,
  close,
  configure,
  connectionRoute,
  testConnection,
  type ConnectionFailure,
  type ConnectionSuccess,
  type RedisOptions,
} from '@huntaze/rate-limit';
import { freePort, startRedis, startRedisOn, type RedisServer } from '../support/redis';
import { freshId, stores } from '../support/stores';
import { HANG_MS, expectDeadline, until } from '../support/time';

// The connection test against real servers, and against ports without a Redis.

let server: RedisServer;
beforeAll(async () => {
  server = await startRedis('--requirepass', PASSWORD);
});
afterEach(() => close());
afterAll(() => server.stop());

const PASSWORD = 'Zaunkoenig7';
const PATIENT = { timeoutMs: HANG_MS };

const creators = (redis: RedisOptions) =>
  configure({ redis: { connectTimeoutMs: HANG_MS, ...redis }, timeoutMs: HANG_MS });
const cli = (...command: string[]) => server.cli('-a', PASSWORD, '--no-auth-warning', ...command);

describe.each(stores.filter(({ source }) => source === 'redis'))('on $name', (store) => {
  beforeAll(() => store.start());
  afterAll(() => store.stop());

  test('every step uses the connection of the checks', async () => {
    configure({ redis: store.redis(), timeoutMs: HANG_MS });
    await checkCreatorRateLimit(freshId());
    const report = (await testConnection(PATIENT)) as ConnectionSuccess;
    expect(report).toMatchObject({
      success: true,
      ping: 'PONG',
      connection: {
        host: '127.0.0.1',
        port: expect.stringMatching(/^\d+$/),
        redisVersion: expect.stringMatching(/^\d+\./),
      },
    });
    expect(report.tests.get.value).toBe(report.testValue);
    expect(report.tests.set.key).toMatch(/^\{creator:\}test:/);
  });
});

test('it leaves no key, and opens no second connection', async () => {
  creators({ url: server.url, password: PASSWORD });
  const connected = () => Number(/connected_clients:(\d+)/.exec(cli('info', 'clients'))![1]) - 1;
  // The connections of earlier tests are still closing.
  await until(() => connected() === 0);
  await Promise.all([testConnection(PATIENT), testConnection(PATIENT), checkCreatorRateLimit('a')]);
  expect(connected()).toBe(1);
  expect(cli('keys', '*')).toBe('{creator:a}');
});

test.each([
  ['a wrong password', () => ({ url: server.url, password: 'wrong' }), 'WRONGPASS'],
  ['none', () => ({ url: server.url }), 'NOAUTH'],
])('%s is reported by its code', async (_, redis, code) => {
  creators(redis());
  const report = (await testConnection(PATIENT)) as ConnectionFailure;
  expect(report).toMatchObject({ success: false, errorType: 'connection', code });
  expect(report.troubleshooting.nextSteps.length).toBeGreaterThan(0);
  expect(JSON.stringify(report)).not.toContain('wrong');
});

test('an unavailable server is reported, and found again although the breaker is open', async () => {
  const port = await freePort();
  creators({ host: '127.0.0.1', port });
  for (let i = 0; i < 5; i++) await checkCreatorRateLimit('a');
  expect(await testConnection(PATIENT)).toMatchObject({ success: false, code: 'ECONNREFUSED' });
  const later = await startRedisOn(port);
  try {
    // At once: the remembered failure must not answer an operator who has just repaired the server.
    expect(await testConnection(PATIENT)).toMatchObject({ success: true });
  } finally {
    await later.stop();
  }
});

test('anonymous callers share one test a second; an operator has one of their own', async () => {
  creators({ url: server.url, password: PASSWORD });
  const { GET } = connectionRoute({ operatorToken: 'Fink', timeoutMs: HANG_MS });
  const sets = () => Number(/cmdstat_set:calls=(\d+)/.exec(cli('info', 'commandstats'))?.[1] ?? 0);
  const get = (headers = {}) => GET(new Request('http://localhost/', { headers }));
  const before = sets();
  // Within one second, however long it takes.
  const clock = jest.spyOn(performance, 'now').mockReturnValue(performance.now());
  const responses = await Promise.all(Array.from({ length: 200 }, () => get()));
  expect(new Set(responses.map(({ status }) => status))).toEqual(new Set([200]));
  expect(new Set(responses.map(({ headers }) => headers.get('x-correlation-id'))).size).toBe(200);
  expect(sets() - before).toBe(1);
  const between = sets();
  for (let i = 0; i < 3; i++) await get({ Authorization: 'Bearer Fink' });
  expect(sets() - between).toBe(3);
  // The shared result expires.
  clock.mockReturnValue(performance.now() + 1000);
  await get();
  clock.mockRestore();
  expect(sets() - between).toBe(4);
});

test('it is not a check: the limiter may still be configured', async () => {
  creators({ url: server.url, password: PASSWORD });
  expect(await testConnection(PATIENT)).toMatchObject({ success: true });
  creators({ url: server.url, password: 'wrong' });
  expect(await testConnection(PATIENT)).toMatchObject({ success: false, code: 'WRONGPASS' });
});

test('it fails under the conditions under which checks fail', async () => {
  cli('acl', 'setuser', 'app', 'on', '>Meise', '~*', '+@all', '-evalsha', '-eval');
  creators({ url: server.url, username: 'app', password: 'Meise' });
  expect(await testConnection(PATIENT)).toMatchObject({ success: false, code: 'NOPERM' });
  cli('acl', 'setuser', 'app', '+@all', '-set');
  await close();
  const report = (await testConnection(PATIENT)) as ConnectionFailure;
  expect(report).toMatchObject({ success: false, code: 'NOPERM', error: expect.stringContaining('needs SET, too') });
});

describe('a server that never answers', () => {
  let hole: Server;
  let port: number;
  beforeAll(async () => {
    hole = createServer((socket) => socket.on('error', () => {}).resume());
    await new Promise<void>((resolve) => hole.listen(0, '127.0.0.1', resolve));
    port = (hole.address() as AddressInfo).port;
  });
  afterAll(() => new Promise((resolve) => hole.close(resolve)));

  test('takes no longer than its timeout', async () => {
    creators({ host: '127.0.0.1', port, connectTimeoutMs: HANG_MS });
    await expectDeadline(
      300,
      () => testConnection({ timeoutMs: 300 }),
      (result) => expect(result).toMatchObject({ success: false, code: 'ETIMEDOUT' }),
    );
  });

  test('close() waits for a test in progress, and no longer', async () => {
    creators({ host: '127.0.0.1', port, connectTimeoutMs: HANG_MS });
    const testing = testConnection({ timeoutMs: 300 });
    await close();
    expect(await testing).toMatchObject({ success: false });
  });
});

test('a missing Redis configuration is reported as such', async () => {
  const saved = { ...process.env };
  for (const name of Object.keys(process.env)) if (/REDIS/.test(name)) delete process.env[name];
  try {
    configure({});
    const { GET } = connectionRoute();
    const response = await GET(new Request('http://localhost/'));
    expect(response.status).toBe(500);
    expect(await response.json()).toMatchObject({ errorType: 'configuration', code: 'ERR_RATE_LIMIT_CONFIG' });
    process.env.REDIS_URL = 'https://eu1.upstash.io';
    await close();
    expect(await testConnection(PATIENT)).toMatchObject({ errorType: 'configuration', meta: { retryable: false } });
    process.env.REDIS_URL = server.url;
    process.env.NEXT_PHASE = 'phase-production-build';
    await close();
    expect(await testConnection(PATIENT)).toMatchObject({ errorType: 'configuration' });
  } finally {
    for (const name of Object.keys(process.env)) if (!(name in saved)) delete process.env[name];
    Object.assign(process.env, saved);
  }
});

test('a missing database is named, and the troubleshooting is about it', async () => {
  creators({ url: server.url, password: PASSWORD, database: 4711 });
  const report = (await testConnection({ ...PATIENT, details: true })) as ConnectionFailure;
  expect(report).toMatchObject({ code: 'PROTOCOL', meta: { retryable: false } });
  expect(report.error).toContain('no database 4711');
  expect(report.troubleshooting.nextSteps.join(' ')).toMatch(/database/);
  expect(report.troubleshooting.possibleCauses.join(' ')).not.toMatch(/Something else than Redis/);
});

test('a password for a server without one is not reported as a rotation', async () => {
  const open = await startRedis();
  try {
    creators({ url: open.url, password: PASSWORD });
    const report = (await testConnection({ ...PATIENT, details: true })) as ConnectionFailure;
    expect(report).toMatchObject({ code: 'WRONGPASS', meta: { retryable: false } });
    expect(report.error).toContain('the server has none');
    expect(report.troubleshooting.nextSteps.join(' ')).not.toMatch(/rotate/i);
    expect(JSON.stringify(report)).not.toContain(PASSWORD);
  } finally {
    await open.stop();
  }
});
