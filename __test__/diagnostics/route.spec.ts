import type { ConnectionRouteOptions } from '@huntaze/rate-limit';
import {
  HOST,
  PORT,
  VERSION,
  codedError,
  failure,
  testConnectionWith,
  success,
  type NativeResult,
} from './native-results';

const { createConnectionRoute } = require('../../lib/diagnostics/route.js');

const UUID = /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/;
const TOKEN = 'Zaunkoenig7Fink.-_~+/=';

async function get(
  outcome: NativeResult | Error,
  headers: Record<string, string> = {},
  options?: ConnectionRouteOptions,
) {
  const { GET } = createConnectionRoute(testConnectionWith(outcome))(options);
  const response: Response = await GET(new Request('http://localhost/api/health/redis', { headers }));
  return { response, headers: response.headers, body: (await response.json()) as any };
}

test('200 if Redis answers', async () => {
  const { response, headers, body } = await get(success);
  expect(response.status).toBe(200);
  expect(body).toMatchObject({ success: true, ping: 'PONG', tests: { get: { value: 'value-1' } } });
  expect(headers.get('content-type')).toMatch('application/json');
  expect(headers.get('cache-control')).toBe('no-store');
  expect(headers.get('retry-after')).toBeNull();
  expect(headers.get('x-correlation-id')).toBe(body.meta.correlationId);
  expect(`${headers.get('x-duration-ms')}ms`).toBe(body.performance.totalDuration);
  expect(headers.get('x-duration-ms')).toMatch(/^\d+$/);
  expect(headers.get('access-control-allow-origin')).toBeNull();
});

test('503 and Retry-After if it does not', async () => {
  const { response, headers, body } = await get(failure('ETIMEDOUT'));
  expect(response.status).toBe(503);
  expect(headers.get('retry-after')).toBe('60');
  expect(headers.get('cache-control')).toBe('no-store');
  expect(body).toMatchObject({ success: false, errorType: 'connection', code: 'ETIMEDOUT' });
});

test('500 without Retry-After if the configuration is invalid', async () => {
  const { response, headers, body } = await get(codedError('ERR_RATE_LIMIT_CONFIG', 'no Redis is configured'));
  expect(response.status).toBe(500);
  expect(headers.get('retry-after')).toBeNull();
  expect(headers.get('cache-control')).toBe('no-store');
  expect(headers.get('x-duration-ms')).toMatch(/^\d+$/);
  expect(body).toMatchObject({ success: false, errorType: 'configuration' });
});

test.each(['a', 'order 66/7 ~', 'x'.repeat(128)])('the correlation id of the caller is returned: %s', async (id) => {
  const { headers, body } = await get(success, { 'X-Correlation-Id': id });
  expect(headers.get('x-correlation-id')).toBe(id);
  expect(body.meta.correlationId).toBe(id);
});

test.each(['', ' ', 'x'.repeat(129), 'ä', 'a\tb'])('an invalid one is replaced: %j', async (id) => {
  const { headers, body } = await get(success, { 'X-Correlation-Id': id });
  expect(headers.get('x-correlation-id')).toMatch(UUID);
  expect(body.meta.correlationId).toBe(headers.get('x-correlation-id'));
});

describe('details', () => {
  const options = { operatorToken: TOKEN };

  test.each([`Bearer ${TOKEN}`, `bearer   ${TOKEN}`])('are returned with the token: %s', async (authorization) => {
    for (const outcome of [success, failure('ECONNREFUSED')]) {
      const { body } = await get(outcome, { authorization }, options);
      expect(body.connection).toEqual({ host: HOST, port: `${PORT}`, redisVersion: VERSION });
      expect(JSON.stringify(body)).not.toContain(TOKEN);
    }
  });

  const wrong = ['', 'Bearer', 'Bearer ', TOKEN, `Basic ${TOKEN}`, `Bearer ${TOKEN}x`, `Bearer ${TOKEN} x`];
  const wronger = [`Bearer ${TOKEN.slice(1)}`, `Bearer ${TOKEN.toLowerCase()}`, 'Bearer undefined', 'Bearer null'];
  test.each([...wrong, ...wronger])('are hidden with any other header: %j', async (authorization) => {
    for (const outcome of [success, failure('ECONNREFUSED'), codedError('ERR_RATE_LIMIT_CONFIG', `${HOST} ${PORT}`)]) {
      await expectHidden(outcome, { authorization }, options);
    }
  });

  test('are hidden without a header', () => expectHidden(success, {}, options));

  test.each([undefined, ''])('are hidden if no token is configured: %j', async (operatorToken) => {
    for (const authorization of ['Bearer ', 'Bearer undefined', 'Bearer x']) {
      await expectHidden(success, { authorization }, { operatorToken });
      await expectHidden(success, { authorization });
    }
  });

  async function expectHidden(
    outcome: NativeResult | Error,
    headers: Record<string, string>,
    route?: ConnectionRouteOptions,
  ) {
    const { response, body } = await get(outcome, { 'X-Correlation-Id': 'mine', ...headers }, route);
    const text = JSON.stringify([body, [...response.headers]]);
    expect(body.connection).toEqual({ host: 'hidden', port: 'hidden', redisVersion: 'hidden' });
    for (const secret of [HOST, `${PORT}`, VERSION]) expect(text).not.toContain(secret);
  }
});

test('OPTIONS names the methods, and allows no other origin', () => {
  const response: Response = createConnectionRoute(testConnectionWith(success))().OPTIONS();
  expect(response.status).toBe(204);
  expect(response.body).toBeNull();
  expect([...response.headers]).toEqual([['allow', 'GET, OPTIONS']]);
});

test('the timeout is passed on', async () => {
  const asked: unknown[] = [];
  const route = createConnectionRoute(async (options: object) => {
    asked.push(options);
    return testConnectionWith(success)(options);
  });
  await route({ timeoutMs: 5 }).GET(new Request('http://localhost', { headers: { 'X-Correlation-Id': 'c' } }));
  await route().GET(new Request('http://localhost', { headers: { 'X-Correlation-Id': 'c' } }));
  expect(asked).toEqual([
    { details: false, correlationId: 'c', timeoutMs: 5 },
    { details: false, correlationId: 'c', timeoutMs: 2000 },
  ]);
});

test.each<[string, unknown, string]>([
  ['null', null, 'ERR_INVALID_ARG_TYPE'],
  ['an unknown option', { token: 'x' }, 'ERR_INVALID_ARG_VALUE'],
  ['a token that is no string', { operatorToken: 7 }, 'ERR_INVALID_ARG_TYPE'],
  ['a token with a line break', { operatorToken: 'Zaunkoenig\n' }, 'ERR_INVALID_ARG_VALUE'],
  ['a token with a space', { operatorToken: 'Zaun koenig' }, 'ERR_INVALID_ARG_VALUE'],
  ['a token beyond ASCII', { operatorToken: 'Zaunkönig' }, 'ERR_INVALID_ARG_VALUE'],
  ['a timeout out of range', { timeoutMs: 0 }, 'ERR_OUT_OF_RANGE'],
])('throws for %s, when the route is created', (_, options, code) => {
  let thrown: (Error & { code?: string }) | undefined;
  try {
    createConnectionRoute(testConnectionWith(success))(options);
  } catch (error) {
    thrown = error as Error;
  }
  expect(thrown?.code).toBe(code);
  expect(thrown?.message).toMatch(/^options/);
  expect(thrown?.message).not.toContain('Zaun');
});

test('a Response without static functions is enough; without any Response no test runs', async () => {
  const own = globalThis.Response;
  const test = jest.fn(testConnectionWith(success));
  const { GET, OPTIONS } = createConnectionRoute(test)();
  try {
    class Older extends own {}
    Object.defineProperty(Older, 'json', { value: undefined });
    globalThis.Response = Older as typeof Response;
    const response: Response = await GET(new Request('http://localhost'));
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/json']);
    expect(await response.json()).toHaveProperty('success', true);
    expect(test).toHaveBeenCalledTimes(1);
    globalThis.Response = undefined as unknown as typeof Response;
    const error = expect.objectContaining({ code: 'ERR_RATE_LIMIT_PLATFORM' });
    await expect(GET(new Request('http://localhost'))).rejects.toEqual(error);
    expect(OPTIONS).toThrow(error);
    expect(test).toHaveBeenCalledTimes(1);
  } finally {
    globalThis.Response = own;
  }
});

test('the Response is of the caller’s realm', async () => {
  const own = globalThis.Response;
  class Mine extends own {}
  const { GET, OPTIONS } = createConnectionRoute(testConnectionWith(success))();
  try {
    globalThis.Response = Mine;
    expect(OPTIONS()).toBeInstanceOf(Mine);
    expect(await GET(new Request('http://localhost'))).toHaveProperty('status', 200);
  } finally {
    globalThis.Response = own;
  }
});

test('the package exports what the types promise', () => {
  const { connectionRoute, testConnection } = require('../..');
  expect(typeof testConnection).toBe('function');
  const { GET, OPTIONS } = connectionRoute({ operatorToken: TOKEN });
  expect([typeof GET, typeof OPTIONS]).toEqual(['function', 'function']);
});
