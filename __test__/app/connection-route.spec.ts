// The response of /api/test-redis to a monitor and to an operator.

import type { ConnectionReport } from '@huntaze/rate-limit';
import { freePort, type RedisServer, startRedis } from '../support/redis';
import { type App, startApp } from './support/app';

const TOKEN = 'an-operator-of-this-test';

async function ask(app: App, headers: Record<string, string> = {}) {
  const response = await fetch(`${app.url}/api/test-redis`, { headers, signal: AbortSignal.timeout(10_000) });
  const report = (await response.json()) as ConnectionReport;
  return { status: response.status, headers: response.headers, report };
}

const as = (token: string) => ({ Authorization: `Bearer ${token}` });

describe('Redis answers', () => {
  let redis: RedisServer;
  let app: App;
  beforeAll(async () => {
    redis = await startRedis();
    app = await startApp({ env: { REDIS_URL: redis.url, RATE_LIMIT_OPERATOR_TOKEN: TOKEN } });
  });
  afterAll(async () => {
    await app?.stop();
    await redis?.stop();
  });

  test('an anonymous caller learns only that', async () => {
    for (const headers of [{}, as('a-guess'), as('')]) {
      const { status, report } = await ask(app, headers);
      expect(status).toBe(200);
      expect(report).toMatchObject({ success: true, ping: 'PONG', tests: { ping: { result: 'PONG' } } });
      expect(report.connection).toEqual({ host: 'hidden', port: 'hidden', redisVersion: 'hidden' });
      expect(JSON.stringify(report)).not.toContain('127.0.0.1');
    }
  });

  test('an operator also sees host and port', async () => {
    const { status, report } = await ask(app, as(TOKEN));
    expect(status).toBe(200);
    expect(report.connection).toEqual({
      host: '127.0.0.1',
      port: `${redis.port}`,
      redisVersion: expect.stringMatching(/^\d+\.\d+\.\d+/),
    });
  });

  test('the token cannot be guessed here either', async () => {
    const from = (token: string) => ask(app, { ...as(token), 'X-Forwarded-For': '192.0.2.7' });
    const statuses = [];
    for (let i = 0; i < 12; i++) statuses.push((await from(`guess-${i}`)).status);
    expect(statuses).toEqual([...Array(10).fill(200), 429, 429]);
    // Beyond the limit the token itself is refused, too; other addresses are unaffected.
    expect((await from(TOKEN)).status).toBe(429);
    expect((await ask(app, as(TOKEN))).report.connection.host).toBe('127.0.0.1');
    redis.cli('del', '{operator-address:192.0.2.7}');
  });

  test('the report is fresh, and has a correlation id', async () => {
    const { headers, report } = await ask(app, { 'X-Correlation-Id': 'of-this-test' });
    expect(report.meta.correlationId).toBe('of-this-test');
    expect(headers.get('X-Correlation-Id')).toBe('of-this-test');
    expect(headers.get('X-Duration-Ms')).toMatch(/^\d+$/);
    expect(headers.get('Cache-Control')).toBe('no-store');
    const again = await ask(app);
    expect(again.headers.get('X-Correlation-Id')).toMatch(/^[\da-f-]{36}$/);
  });

  test('the test leaves no key behind', () => {
    expect(redis.ttls()).toEqual({});
  });

  test('OPTIONS is answered', async () => {
    const response = await fetch(`${app.url}/api/test-redis`, { method: 'OPTIONS' });
    expect(response.ok).toBe(true);
  });
});

test('without a token, every caller is anonymous', async () => {
  const redis = await startRedis();
  const app = await startApp({ env: { REDIS_URL: redis.url } });
  try {
    for (const headers of [{}, as(''), as('undefined')]) {
      expect((await ask(app, headers)).report.connection.host).toBe('hidden');
    }
  } finally {
    await app.stop();
    await redis.stop();
  }
});

test('an unavailable Redis is a 503 with Retry-After of a minute, and a 200 once it is back', async () => {
  const port = await freePort();
  const app = await startApp({
    bundler: 'webpack',
    env: {
      REDIS_URL: `redis://:a-secret@127.0.0.1:${port}`,
      RATE_LIMIT_OPERATOR_TOKEN: TOKEN,
    },
  });
  try {
    const anonymous = await ask(app);
    expect([anonymous.status, anonymous.headers.get('Retry-After')]).toEqual([503, '60']);
    expect(anonymous.headers.get('Cache-Control')).toBe('no-store');
    expect(anonymous.report).toMatchObject({
      success: false,
      errorType: 'connection',
      code: 'ECONNREFUSED',
      connection: { host: 'hidden', port: 'hidden' },
      meta: { retryable: true },
    });
    const operator = await ask(app, as(TOKEN));
    expect(operator.status).toBe(503);
    expect(operator.report.connection).toMatchObject({ host: '127.0.0.1', port: `${port}`, redisVersion: 'unknown' });
    for (const { report } of [anonymous, operator]) expect(JSON.stringify(report)).not.toContain('a-secret');
    expect(app.output()).not.toContain('a-secret');
    // Creators are served meanwhile.
    expect((await app.chat('served', 'starter')).status).toBe(200);
  } finally {
    await app.stop();
  }
});

test('a missing Redis configuration is a 500 that is not retryable', async () => {
  const app = await startApp({ env: { RATE_LIMIT_OPERATOR_TOKEN: TOKEN } });
  try {
    for (const headers of [{}, as(TOKEN)]) {
      const { status, headers: answered, report } = await ask(app, headers);
      expect([status, answered.get('Retry-After')]).toEqual([500, null]);
      expect(report).toMatchObject({
        success: false,
        errorType: 'configuration',
        code: 'ERR_RATE_LIMIT_CONFIG',
        meta: { retryable: false },
      });
    }
  } finally {
    await app.stop();
  }
});
