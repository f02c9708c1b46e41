import type { ConnectionFailure, ConnectionSuccess, TestConnectionOptions } from '@huntaze/rate-limit';
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

const { CODES } = require('../../lib/diagnostics/troubleshooting.js');
const { createTester } = require('../../lib/diagnostics/test-connection.js');

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

const hidden = { host: 'hidden', port: 'hidden', redisVersion: 'hidden' };

test('a report of success has the shape of ConnectionSuccess, durations rounded up', async () => {
  const report = (await testConnectionWith(success)({ correlationId: 'abc' })) as ConnectionSuccess;
  expect(report).toEqual({
    success: true,
    message: expect.any(String),
    ping: 'PONG',
    pong: 'PONG',
    testValue: 'value-1',
    timestamp: expect.stringMatching(ISO),
    connection: { host: HOST, port: `${PORT}`, redisVersion: VERSION },
    tests: {
      ping: { result: 'PONG', duration: '1ms' },
      set: { key: '{creator:}test:1', duration: '1ms' },
      get: { value: 'value-1', duration: '2ms' },
      delete: { duration: '5ms' },
    },
    performance: { totalDuration: expect.stringMatching(/^\d+ms$/) },
    meta: { timestamp: report.timestamp, correlationId: 'abc' },
  });
});

test('a missing version is reported as unknown', async () => {
  const { connection } = await testConnectionWith({ ...success, version: undefined })();
  expect(connection).toEqual({ host: HOST, port: `${PORT}`, redisVersion: 'unknown' });
});

test('a report of failure has the shape of ConnectionFailure, and names host and port', async () => {
  const report = (await testConnectionWith(failure('ECONNREFUSED', 'cannot connect'))()) as ConnectionFailure;
  expect(report).toEqual({
    success: false,
    error: 'cannot connect',
    errorType: 'connection',
    code: 'ECONNREFUSED',
    message: expect.any(String),
    timestamp: expect.stringMatching(ISO),
    connection: { host: HOST, port: `${PORT}`, redisVersion: VERSION },
    troubleshooting: { possibleCauses: expect.any(Array), nextSteps: expect.any(Array) },
    performance: { totalDuration: expect.stringMatching(/^\d+ms$/) },
    meta: { timestamp: report.timestamp, correlationId: expect.stringMatching(UUID), retryable: true },
  });
  expect(report.troubleshooting.nextSteps.join(' ')).toContain(`${HOST}:${PORT}`);
});

test('the port to open is the tested one', async () => {
  const report = (await testConnectionWith(failure('ETIMEDOUT'))()) as ConnectionFailure;
  expect(report.troubleshooting.nextSteps[0]).toMatch(new RegExp(`TCP on port ${PORT} in the security group`));
});

test('an invalid environment is reported as a configuration failure, without a connection attempt', async () => {
  const error = codedError('ERR_RATE_LIMIT_CONFIG', 'REDIS_PORT must be a number from 1 to 65535');
  const report = await testConnectionWith(error)();
  expect(report).toMatchObject({
    success: false,
    error: 'REDIS_PORT must be a number from 1 to 65535',
    errorType: 'configuration',
    code: 'ERR_RATE_LIMIT_CONFIG',
    connection: { host: 'unknown', port: 'unknown', redisVersion: 'unknown' },
    meta: { retryable: false },
  });
});

test('a synchronous throw is reported like a rejection', async () => {
  const thrown = createTester(() => {
    throw codedError('ERR_RATE_LIMIT_CONFIG', 'no Redis');
  });
  expect(await thrown()).toMatchObject({ success: false, errorType: 'configuration', error: 'no Redis' });
});

describe('an unexpected error', () => {
  let warned: jest.SpyInstance;
  beforeEach(() => (warned = jest.spyOn(console, 'warn').mockImplementation(() => {})));
  afterEach(() => warned.mockRestore());

  test.each([new TypeError('x is not a function'), codedError('ECANARY', 'y'), codedError('constructor', 'z')])(
    'is reported in fixed words, and logged: %s',
    async (error) => {
      expect(await testConnectionWith(error)()).toMatchObject({
        success: false,
        errorType: 'connection',
        code: 'UNKNOWN',
        error: 'The test itself failed; the log has the error',
      });
      expect(warned).toHaveBeenCalledWith(expect.stringContaining('test of the connection failed'), error);
    },
  );
});

test('the timeout is passed on; default 2000', async () => {
  const asked: number[] = [];
  const test = createTester(async (timeoutMs: number) => {
    asked.push(timeoutMs);
    return success;
  });
  await test({ timeoutMs: 60_000 });
  await test();
  expect(asked).toEqual([60_000, 2000]);
});

test('each report has its own correlation id', async () => {
  const ask = testConnectionWith(success);
  const ids = [(await ask()).meta.correlationId, (await ask()).meta.correlationId];
  for (const id of ids) expect(id).toMatch(UUID);
  expect(ids[0]).not.toBe(ids[1]);
});

test.each<[string, unknown, string, string]>([
  ['null', null, 'TypeError', 'ERR_INVALID_ARG_TYPE'],
  ['a list', [], 'TypeError', 'ERR_INVALID_ARG_TYPE'],
  ['an unknown option', { verbose: true }, 'TypeError', 'ERR_INVALID_ARG_VALUE'],
  ['details as a string', { details: 'no' }, 'TypeError', 'ERR_INVALID_ARG_TYPE'],
  ['no details at all', { details: null }, 'TypeError', 'ERR_INVALID_ARG_TYPE'],
  ['a timeout of 0', { timeoutMs: 0 }, 'RangeError', 'ERR_OUT_OF_RANGE'],
  ['a timeout above a minute', { timeoutMs: 60_001 }, 'RangeError', 'ERR_OUT_OF_RANGE'],
  ['a fractional timeout', { timeoutMs: 1.5 }, 'RangeError', 'ERR_OUT_OF_RANGE'],
  ['a timeout as a string', { timeoutMs: '1' }, 'TypeError', 'ERR_INVALID_ARG_TYPE'],
  ['a number for a correlation id', { correlationId: 7 }, 'TypeError', 'ERR_INVALID_ARG_TYPE'],
  ['an empty correlation id', { correlationId: '' }, 'TypeError', 'ERR_INVALID_ARG_VALUE'],
  ['a long correlation id', { correlationId: 'a'.repeat(129) }, 'TypeError', 'ERR_INVALID_ARG_VALUE'],
  ['a line break in it', { correlationId: 'a\nb' }, 'TypeError', 'ERR_INVALID_ARG_VALUE'],
  ['a line break at its end', { correlationId: 'a\n' }, 'TypeError', 'ERR_INVALID_ARG_VALUE'],
  ['a letter beyond ASCII', { correlationId: 'ä' }, 'TypeError', 'ERR_INVALID_ARG_VALUE'],
])('rejects for %s', async (_, options, name, code) => {
  const asked = testConnectionWith(success)(options as TestConnectionOptions);
  await expect(asked).rejects.toMatchObject({ name, code, message: expect.stringContaining('options') });
});

describe('without details', () => {
  const results: [string, NativeResult | Error][] = [
    ['success', success],
    ...CODES.map((code: string): [string, NativeResult] => [code, failure(code)]),
    ['a future code', failure('ETOCOME')],
    ['the configuration', codedError('ERR_RATE_LIMIT_CONFIG', `REDIS_URL: ${HOST}:${PORT} is no URL`)],
    ['a rejection with a store error', codedError('ENOTFOUND', `${HOST} does not resolve`)],
  ];

  test.each(results)('%s: no field names host, port or version', async (_, outcome) => {
    const open = JSON.stringify(await testConnectionWith(outcome)());
    const report = await testConnectionWith(outcome)({ details: false, correlationId: 'mine' });
    expect(report.connection).toEqual(hidden);
    for (const secret of [HOST, 'zaunkoenig', 'cache.amazonaws', `${PORT}`, VERSION, 'REDIS_URL:']) {
      expect(JSON.stringify(report)).not.toContain(secret);
    }
    // With details it does name the host, otherwise the absence proves nothing.
    expect(open).toContain(HOST);
  });

  test('it still has the code, causes and steps', async () => {
    const report = (await testConnectionWith(failure('OOM'))({ details: false })) as ConnectionFailure;
    expect(report).toMatchObject({ code: 'OOM', error: 'The node is out of memory.', meta: { retryable: true } });
    expect(report.troubleshooting.nextSteps.length).toBeGreaterThan(0);
  });
});

test('troubleshooting texts are copied: changing one report changes no other', async () => {
  const first = (await testConnectionWith(failure('OOM'))()) as ConnectionFailure;
  (first.troubleshooting.possibleCauses as string[]).length = 0;
  const second = (await testConnectionWith(failure('OOM'))()) as ConnectionFailure;
  expect(second.troubleshooting.possibleCauses.length).toBeGreaterThan(0);
});
