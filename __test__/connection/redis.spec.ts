import { createServer, type Server } from 'node:net';
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
import { freePort, startRedis, type RedisServer } from '../support/redis';
import { freshId, stores } from '../support/stores';

// The test of the connection against real servers, and against those that are none.

let server: RedisServer;
beforeAll(async () => {
  server = await startRedis('--requirepass', 'Zaunkoenig7');
});
afterEach(() => close());
afterAll(() => server.stop());

const creators = (redis: RedisOptions, timeoutMs = 250) => configure({ redis, timeoutMs });

describe.each(stores.filter(({ source }) => source === 'redis'))('on $name', (store) => {
  beforeAll(() => store.start());
  afterAll(() => store.stop());

  test('every step is taken on the connection of the checks', async () => {
    configure({ redis: store.redis(), timeoutMs: 5000 });
    await checkCreatorRateLimit(freshId());
    const report = (await testConnection({ timeoutMs: 10_000 })) as ConnectionSuccess;
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

test('nothing stays, and there is one connection', async () => {
  creators({ url: server.url, password: 'Zaunkoenig7' }, 5000);
  const before = server.cli('-a', 'Zaunkoenig7', 'info', 'clients').match(/connected_clients:(\d+)/)![1];
  await Promise.all([testConnection(), testConnection(), checkCreatorRateLimit('a')]);
  const after = server.cli('-a', 'Zaunkoenig7', 'info', 'clients').match(/connected_clients:(\d+)/)![1];
  expect(Number(after) - Number(before)).toBe(1);
  expect(server.cli('-a', 'Zaunkoenig7', 'keys', '*')).toBe('{creator:a}');
});

test.each([
  ['a wrong password', () => ({ url: server.url, password: 'wrong' }), 'WRONGPASS'],
  ['none', () => ({ url: server.url }), 'NOAUTH'],
])('%s is told by its code', async (_, redis, code) => {
  creators(redis());
  const report = (await testConnection()) as ConnectionFailure;
  expect(report).toMatchObject({ success: false, errorType: 'connection', code });
  expect(report.troubleshooting.nextSteps.length).toBeGreaterThan(0);
  expect(JSON.stringify(report)).not.toContain('wrong');
});

test('a server that is away is told so, and found again, past a breaker that is open', async () => {
  const port = await freePort();
  creators({ host: '127.0.0.1', port });
  for (let i = 0; i < 5; i++) await checkCreatorRateLimit('a');
  expect(await testConnection()).toMatchObject({ success: false, code: 'ECONNREFUSED' });
  const later = await startRedis('--port', `${port}`);
  try {
    // At once: what was remembered of it is no answer to who has just mended it.
    expect(await testConnection({ timeoutMs: 10_000 })).toMatchObject({ success: true });
  } finally {
    await later.stop();
  }
});

test('strangers share one trial a second; an operator has one of their own', async () => {
  creators({ url: server.url, password: 'Zaunkoenig7' }, 5000);
  const { GET } = connectionRoute({ operatorToken: 'Fink' });
  const sets = () =>
    Number(/cmdstat_set:calls=(\d+)/.exec(server.cli('-a', 'Zaunkoenig7', 'info', 'commandstats'))?.[1] ?? 0);
  const get = (headers = {}) => GET(new Request('http://localhost/', { headers }));
  const before = sets();
  const responses = await Promise.all(Array.from({ length: 200 }, () => get()));
  expect(new Set(responses.map(({ status }) => status))).toEqual(new Set([200]));
  expect(new Set(responses.map(({ headers }) => headers.get('x-correlation-id'))).size).toBe(200);
  expect(sets() - before).toBeLessThanOrEqual(2);
  const between = sets();
  for (let i = 0; i < 3; i++) await get({ Authorization: 'Bearer Fink' });
  expect(sets() - between).toBe(3);
  // It is not told for ever.
  const later = performance.now() + 1000;
  const clock = jest.spyOn(performance, 'now').mockReturnValue(later);
  await get();
  clock.mockRestore();
  expect(sets() - between).toBe(4);
});

test('it is no request: the limiter may still be configured', async () => {
  creators({ url: server.url, password: 'Zaunkoenig7' });
  expect(await testConnection()).toMatchObject({ success: true });
  creators({ url: server.url, password: 'wrong' });
  expect(await testConnection()).toMatchObject({ success: false, code: 'WRONGPASS' });
});

test('it fails where checks would', async () => {
  server.cli('-a', 'Zaunkoenig7', 'acl', 'setuser', 'app', 'on', '>Meise', '~*', '+@all', '-evalsha', '-eval');
  creators({ url: server.url, username: 'app', password: 'Meise' });
  expect(await testConnection()).toMatchObject({ success: false, code: 'NOPERM' });
  server.cli('-a', 'Zaunkoenig7', 'acl', 'setuser', 'app', '+@all', '-set');
  await close();
  const report = (await testConnection()) as ConnectionFailure;
  expect(report).toMatchObject({ success: false, code: 'NOPERM', error: expect.stringContaining('needs SET, too') });
});

describe('a server that never answers', () => {
  let hole: Server;
  let port: number;
  beforeAll(async () => {
    port = await freePort();
    hole = createServer((socket) => socket.on('error', () => {}).resume());
    await new Promise<void>((resolve) => hole.listen(port, '127.0.0.1', resolve));
  });
  afterAll(() => new Promise((resolve) => hole.close(resolve)));

  test('costs no more than the time that was given', async () => {
    creators({ host: '127.0.0.1', port, connectTimeoutMs: 60_000 });
    const begun = performance.now();
    expect(await testConnection({ timeoutMs: 300 })).toMatchObject({ success: false, code: 'ETIMEDOUT' });
    expect(performance.now() - begun).toBeLessThan(2000);
  });

  test('a close waits for the test that is under way, and no longer than that', async () => {
    creators({ host: '127.0.0.1', port, connectTimeoutMs: 60_000 });
    const testing = testConnection({ timeoutMs: 300 });
    await close();
    expect(await testing).toMatchObject({ success: false });
  });
});

test('where no Redis is configured, that is what is wrong', async () => {
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
    expect(await testConnection()).toMatchObject({ errorType: 'configuration', meta: { retryable: false } });
    process.env.REDIS_URL = server.url;
    process.env.NEXT_PHASE = 'phase-production-build';
    await close();
    expect(await testConnection()).toMatchObject({ errorType: 'configuration' });
  } finally {
    for (const name of Object.keys(process.env)) if (!(name in saved)) delete process.env[name];
    Object.assign(process.env, saved);
  }
});
