import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { startRedis } from '../support/redis';
import { HANG_MS } from '../support/time';

const JEST = require.resolve('jest/bin/jest');

/** Runs the fixture's three test files one after the other in one Jest worker. */
function runFixture(redisUrl: string) {
  const config = {
    rootDir: join(__dirname, '../fixtures/one-worker'),
    testMatch: ['<rootDir>/*.test.js'],
    moduleNameMapper: { '^@huntaze/rate-limit$': join(__dirname, '../../index.js') },
    haste: { enableSymlinks: false },
    testTimeout: HANG_MS,
  };
  const args = [JEST, '--runInBand', '--config', JSON.stringify(config), '--json'];
  const env = { ...process.env, REDIS_URL: redisUrl };
  const { stdout, stderr } = spawnSync(process.execPath, args, { env, encoding: 'utf8' });
  return { result: JSON.parse(stdout), stderr };
}

test('several test files in one Jest worker, on the embedded store', () => {
  const { result, stderr } = runFixture('');
  expect(stderr).not.toContain('did not exit');
  expect(result).toMatchObject({ numPassedTests: 4, numFailedTests: 0, numRuntimeErrorTestSuites: 0 });
});

test('and on Redis, which keeps the quota after close()', async () => {
  const redis = await startRedis();
  const { result } = runFixture(redis.url);
  await redis.stop();
  // The second of first and second finds the quota used up: it is shared, as in production.
  expect(result).toMatchObject({ numPassedTests: 3, numFailedTests: 1 });
});
