import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startRedis, type RedisServer } from '../support/redis';
import { HANG_MS } from '../support/time';

const FIXTURES = join(__dirname, '../fixtures/open-handles');
const JEST = require.resolve('jest/bin/jest');
const run = promisify(execFile);

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());

describe.each(['main', 'worker'])('thread-safe functions of a %s thread', (thread) => {
  const counted = async (...store: string[]) => {
    const file = join(FIXTURES, 'threadsafe-functions.cjs');
    const env = { ...process.env, REDIS_URL: '' };
    const { stdout } = await run(process.execPath, [file, thread, ...store], { env, timeout: HANG_MS });
    return JSON.parse(stdout) as unknown;
  };

  test('one while a limiter over Redis is open, none before its first check or after its close', async () => {
    expect(await counted(redis.url)).toEqual({
      ...{ loaded: 0, made: 0, checked: 1, oneClosed: 1, closed: 0 },
      ...{ again: 1, closedAgain: 0 },
    });
  });

  test('the embedded store needs none', async () => {
    expect(await counted()).toEqual({
      ...{ loaded: 0, made: 0, checked: 0, oneClosed: 0, closed: 0 },
      ...{ again: 0, closedAgain: 0 },
    });
  });
});

test.each([
  ['memory', () => ({})],
  ['redis', () => ({ OPEN_HANDLES_REDIS: redis.url })],
])('Jest reports no open handle of closed limiters: %s', async (_, store) => {
  const config = JSON.stringify({
    rootDir: FIXTURES,
    testEnvironment: 'node',
    modulePathIgnorePatterns: [],
    transform: {},
  });
  const args = [JEST, '--config', config, '--detectOpenHandles', '--no-cache'];
  const env = { ...process.env, REDIS_URL: '', ...store() };
  const { stdout, stderr } = await run(process.execPath, args, { env, cwd: FIXTURES, timeout: HANG_MS });
  const said = stdout + stderr;
  expect(said).toContain('Tests:       4 passed, 4 total');
  expect(said).not.toMatch(/open handle|threadsafe/i);
});
