import { createServer, type AddressInfo, type Server } from 'node:net';
import { RateLimitError, RateLimiter, type RateLimiterOptions, type RedisOptions } from '@huntaze/rate-limit';
import { freePort, startRedis } from './support/redis';
import { freshId } from './support/stores';
import { HANG_MS, expectDeadline } from './support/time';

// Checks while Redis is unavailable: on a port that refuses, and on a server that accepts and never answers.

let port: number;
let hole: Server;
const open: RateLimiter[] = [];

beforeAll(async () => {
  port = await freePort();
  hole = createServer((socket) => socket.on('error', () => {}).resume());
  await new Promise<void>((resolve) => hole.listen(0, '127.0.0.1', resolve));
});
afterEach(() => Promise.all(open.splice(0).map((l) => l.close())));
afterAll(() => new Promise((resolve) => hole.close(resolve)));

function limiter(
  onStoreError: RateLimiterOptions['onStoreError'],
  redis: RedisOptions = { host: '127.0.0.1', port },
  timeoutMs = HANG_MS,
): RateLimiter {
  const made = new RateLimiter({
    name: freshId(),
    limit: 2,
    windowMs: 60_000,
    onStoreError,
    timeoutMs,
    redis,
  });
  open.push(made);
  return made;
}

test('local: this process decides, exactly, with the source local', async () => {
  const l = limiter('local');
  const id = freshId();
  expect(await l.limit(id)).toMatchObject({ allowed: true, remaining: 1, source: 'local' });
  await l.check(id);
  expect(await l.limit(id)).toMatchObject({ allowed: false, source: 'local' });
  await expect(l.check(id)).rejects.toThrow(RateLimitError);
  expect(await l.status(id)).toMatchObject({ remaining: 0 });
  await l.reset(id);
  expect(await l.status(id)).toMatchObject({ remaining: 2 });
});

test('open: all are admitted', async () => {
  const l = limiter('open');
  const id = freshId();
  for (let i = 0; i < 5; i++) {
    expect(await l.limit(id)).toMatchObject({
      allowed: true,
      remaining: 2,
      resetAfterMs: 60_000,
      retryAfterMs: 0,
      source: 'open',
    });
  }
});

test('closed: none is admitted', async () => {
  const l = limiter('closed');
  const id = freshId();
  expect(await l.limit(id)).toMatchObject({
    allowed: false,
    remaining: 0,
    resetAfterMs: 1000,
    retryAfterMs: 1000,
    source: 'closed',
  });
  await expect(l.check(id)).rejects.toMatchObject({ name: 'RateLimitError', retryAfter: 1 });
});

test('throw: an Error with the code of the failure', async () => {
  const l = limiter('throw');
  for (const call of [() => l.check(1), () => l.limit(1), () => l.status(1), () => l.reset(1)]) {
    const error = await call().catch((e: unknown) => e);
    expect(error).toBeInstanceOf(Error);
    expect(error).not.toBeInstanceOf(RateLimitError);
    expect(error).toMatchObject({ code: 'ECONNREFUSED' });
  }
});

test('a failed reset rejects under open and closed', async () => {
  await expect(limiter('open').reset(1)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  await expect(limiter('closed').reset(1)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
});

test('every promise settles by the deadline, when the server never answers', async () => {
  const redis = { host: '127.0.0.1', port: (hole.address() as AddressInfo).port };
  await expectDeadline(
    100,
    () => {
      // A new limiter each time: one that knows that the server does not answer would not wait for it.
      const l = limiter('throw', redis, 100);
      return Promise.all(Array.from({ length: 300 }, (_, i) => l.check(i).catch((e: unknown) => e)));
    },
    (errors) => {
      for (const error of errors) expect(error).toMatchObject({ code: 'ETIMEDOUT' });
    },
  );
});

test('a refused write is never an admission', async () => {
  const redis = await startRedis();
  try {
    const l = limiter('throw', redis.options);
    await l.check('before');
    redis.cli('config', 'set', 'maxmemory', '1');
    await expect(l.check('after')).rejects.toMatchObject({ code: 'OOM' });
    redis.cli('config', 'set', 'maxmemory', '0');
    redis.cli('replicaof', '127.0.0.1', `${port}`);
    await expect(l.check('after')).rejects.toMatchObject({ code: expect.stringMatching(/^(READONLY|LOADING)$/) });
    redis.cli('replicaof', 'no', 'one');
    expect(await l.limit('after')).toMatchObject({ allowed: true, remaining: 1, source: 'redis' });
  } finally {
    await redis.stop();
  }
});

test('Redis comes back: it decides again, also without its scripts', async () => {
  const redis = await startRedis();
  const l = limiter('local', redis.options);
  expect((await l.limit(1)).source).toBe('redis');
  redis.cli('script', 'flush');
  expect((await l.limit(1)).source).toBe('redis');
  redis.cli('client', 'kill', 'type', 'normal');
  // A check may meet the broken connection; the next one has a new one.
  await l.limit(2);
  expect((await l.limit(2)).source).toBe('redis');
  await redis.stop();
  expect((await l.limit(3)).source).toBe('local');
});
