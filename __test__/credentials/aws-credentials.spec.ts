import { types } from 'node:util';

// The sources of AWS credentials, and how long they are waited for.

const asked: { forceRefresh: boolean }[] = [];
let chains = 0;
let answer: () => Promise<unknown>;
jest.mock('@aws-sdk/credential-provider-node', () => ({
  defaultProvider: () => {
    chains++;
    return (options: { forceRefresh: boolean }) => (asked.push(options), answer());
  },
}));

const { credentialSource } = require('../../lib/credentials/aws-credentials.js');

const KEY = { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'secret', accountId: '123456789012' };
const PICKED = {
  accessKeyId: KEY.accessKeyId,
  secretAccessKey: 'secret',
  sessionToken: undefined,
  expiration: undefined,
};

beforeEach(() => {
  asked.length = chains = 0;
  answer = async () => KEY;
  jest.useFakeTimers();
});
afterEach(() => jest.useRealTimers());

const late = expect.objectContaining({ code: 'ETIMEDOUT', message: expect.stringContaining('5000 ms') });

test('given credentials are copied', async () => {
  const given = { ...KEY, expiration: new Date() };
  const find = credentialSource(given);
  given.secretAccessKey = 'changed';
  expect(await find(false)).toEqual({ ...PICKED, expiration: given.expiration });
  expect(types.isDate(given.expiration)).toBe(true);
});

test('a function has five seconds, and is called again after a timeout', async () => {
  const hangs = jest.fn(() => new Promise(() => {}));
  const find = credentialSource(hangs);
  for (const calls of [1, 2]) {
    const found = find(false).catch((error: Error) => error);
    await jest.advanceTimersByTimeAsync(5000);
    expect(await found).toEqual(late);
    expect(hangs).toHaveBeenCalledTimes(calls);
  }
  expect(jest.getTimerCount()).toBe(0);
});

test('timers may be numbers, as in jsdom', async () => {
  const timer = jest.spyOn(globalThis, 'setTimeout').mockReturnValue(7 as never);
  try {
    expect(await credentialSource(async () => KEY)(false)).toEqual(PICKED);
  } finally {
    timer.mockRestore();
  }
});

test('one provider chain is used for every call', async () => {
  const find = credentialSource(undefined);
  expect([await find(false), await find(false)]).toEqual([KEY, KEY]);
  expect([chains, asked]).toEqual([1, [{ forceRefresh: false }, { forceRefresh: false }]]);
});

test('a chain that hangs is replaced', async () => {
  answer = () => new Promise(() => {});
  const find = credentialSource(undefined);
  const found = find(false).catch((error: Error) => error);
  await jest.advanceTimersByTimeAsync(5000);
  expect(await found).toEqual(late);
  answer = async () => KEY;
  expect(await find(false)).toEqual(KEY);
  expect(chains).toBe(2);
});

test('after refused tokens the chain is rebuilt, once a minute', async () => {
  const find = credentialSource(undefined);
  for (const seconds of [0, 59, 1]) {
    await jest.advanceTimersByTimeAsync(seconds * 1000);
    await find(true);
  }
  expect(asked.map(({ forceRefresh }) => forceRefresh)).toEqual([true, false, true]);
});
