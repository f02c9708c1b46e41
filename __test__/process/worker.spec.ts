import { Worker } from 'node:worker_threads';
import { join } from 'node:path';
import { RateLimiter } from '@huntaze/rate-limit';
import { startRedis, type RedisServer } from '../support/redis';
import { freshId } from '../support/stores';
import { HANG_MS, until } from '../support/time';

const PACKAGE = JSON.stringify(join(__dirname, '../..'));

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());

function worker(script: string, redisUrl = ''): Worker {
  const head = `const { parentPort, workerData } = require('node:worker_threads');\nconst limits = require(${PACKAGE});\n`;
  return new Worker(head + script, { eval: true, env: { ...process.env, REDIS_URL: redisUrl } });
}

function message(from: Worker): Promise<unknown> {
  return new Promise((resolve, reject) => {
    from.once('message', resolve);
    from.once('error', reject);
  });
}

test('a worker is terminated with checks in flight, repeatedly; the process and its own checks continue', async () => {
  const own = new RateLimiter({
    name: 'own',
    limit: 1_000_000,
    windowMs: 60_000,
    redis: redis.options,
    timeoutMs: HANG_MS,
  });
  for (let i = 0; i < 10; i++) {
    const w = worker(
      `const limiter = new limits.RateLimiter({ name: 'own', limit: 10, windowMs: 60000, anomaly: false });
       const ask = () => { for (let i = 0; i < 200; i++) limiter.check(i).catch(() => {}); setImmediate(ask); };
       ask();
       parentPort.postMessage('asking');`,
      redis.url,
    );
    await message(w);
    const checks = Promise.all(Array.from({ length: 100 }, (_, n) => own.limit(`own-${n}`)));
    await w.terminate();
    expect((await checks).every((d) => d.source === 'redis')).toBe(true);
  }
  await own.close();
});

describe.each([
  ['calls process.exit', 'process.exit(0)'],
  ['is terminated', `parentPort.postMessage('asked')`],
])('a worker that %s with checks in flight', (_, then) => {
  test('leaves no connection behind once they are answered', async () => {
    await until(() => redis.connections() === 0);
    const workers = Array.from({ length: 10 }, () =>
      worker(
        `const limiter = new limits.RateLimiter({
           name: 'ends', limit: 1000, windowMs: 60000, redis: { url: process.env.REDIS_URL, connectTimeoutMs: ${HANG_MS} },
           timeoutMs: ${HANG_MS} });
         limiter.limit(1).then(() => parentPort.postMessage('connected'));
         parentPort.on('message', () => {
           for (let i = 0; i < 3; i++) limiter.limit(i);
           setImmediate(() => ${then});
         });`,
        redis.url,
      ),
    );
    await Promise.all(workers.map(message));
    expect(redis.connections()).toBe(workers.length);
    // Redis answers no check until all have ended.
    redis.cli('client', 'pause', `${HANG_MS}`, 'write');
    const ended = workers.map((w) => new Promise((resolve) => w.once('exit', resolve)));
    for (const w of workers) {
      w.once('message', () => void w.terminate());
      w.postMessage('ask');
    }
    await Promise.all(ended);
    redis.cli('client', 'unpause');
    await until(() => redis.connections() === 0);
  });
});

test('a worker without further work ends by itself after a check', async () => {
  const w = worker(`limits.checkCreatorRateLimit(1).then(() => parentPort.postMessage('allowed'));`, redis.url);
  const exit = new Promise((resolve) => w.once('exit', resolve));
  expect(await message(w)).toBe('allowed');
  expect(await exit).toBe(0);
});

test('all threads of a process share the embedded store, and a closing one does not affect the others', async () => {
  const id = freshId();
  const name = freshId();
  const main = new RateLimiter({ name, limit: 100, windowMs: 60_000 });
  await main.check(id);
  const workers = Array.from({ length: 4 }, () =>
    worker(`
      const limiter = new limits.RateLimiter({ name: '${name}', limit: 100, windowMs: 60000, anomaly: false });
      Promise.allSettled(Array.from({ length: 100 }, () => limiter.check('${id}'))).then(async (all) => {
        const allowed = all.filter((a) => a.status === 'fulfilled').length;
        await limiter.close();
        parentPort.postMessage(allowed);
      });`),
  );
  const allowed = await Promise.all(workers.map(message));
  expect((allowed as number[]).reduce((a, b) => a + b, 1)).toBe(100);
  await Promise.all(workers.map((w) => w.terminate()));
  expect(await main.status(id)).toMatchObject({ remaining: 0 });
  await main.close();
  expect(await main.status(id)).toMatchObject({ remaining: 100 });
  await main.close();
});
