import { createServer, type AddressInfo, type Server } from 'node:net';
import {
  RateLimitError,
  RateLimiter,
  checkCreatorRateLimit,
  close,
  configure,
  getRateLimitStatus,
  onAnomaly,
} from '@huntaze/rate-limit';
import { startRedis, type RedisServer } from './support/redis';
import { freshId, pass } from './support/stores';
import { HANG_MS, tryUntil, until } from './support/time';

describe('close and configure', () => {
  afterEach(() => close());

  test('configure after the first check is an error, after close it is not', async () => {
    configure({ plans: { starter: 1 } });
    configure({ plans: { starter: 2 } });
    expect((await getRateLimitStatus(1, 'starter')).limit).toBe(2);
    expect(() => configure({})).toThrow(expect.objectContaining({ code: 'ERR_RATE_LIMIT_CONFIG' }));
    await close();
    configure({});
    expect((await getRateLimitStatus(1, 'starter')).limit).toBe(50);
  });

  test('close forgets local state, and the next call starts anew', async () => {
    configure({ plans: { starter: 1 } });
    const id = freshId();
    await checkCreatorRateLimit(id, 'starter');
    await expect(checkCreatorRateLimit(id, 'starter')).rejects.toThrow(RateLimitError);
    await close();
    await close();
    await checkCreatorRateLimit(id, 'starter');
  });

  test('closing a limiter does not affect another of its name', async () => {
    const make = () => new RateLimiter({ name: 'same', limit: 1, windowMs: 60_000, anomaly: false });
    const [a, b] = [make(), make()];
    const id = freshId();
    await a.check(id);
    await expect(b.check(id)).rejects.toThrow(RateLimitError);
    await a.close();
    await expect(b.check(id)).rejects.toThrow(RateLimitError);
    await b.close();
    await b.check(id);
    await b.close();
  });

  test('inherited properties are no environment variables', async () => {
    Object.defineProperty(Object.prototype, 'polluted', { value: true, enumerable: true, configurable: true });
    try {
      await expect(checkCreatorRateLimit(freshId())).resolves.toBeUndefined();
    } finally {
      delete (Object.prototype as { polluted?: boolean }).polluted;
    }
  });

  test('listeners survive a close', async () => {
    const heard: string[] = [];
    const off = onAnomaly((a) => heard.push(a.creatorId));
    await close();
    configure({ plans: { starter: 1 } });
    const id = freshId();
    for (let i = 0; i < 3; i++) await checkCreatorRateLimit(id, 'starter').catch(() => {});
    await new Promise((resolve) => setImmediate(resolve));
    off();
    expect(heard).toEqual([id]);
  });
});

describe('over Redis', () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis.stop());

  test('close lets checks in flight settle, and drops the connection', async () => {
    const l = new RateLimiter({
      name: 'closing',
      limit: 100,
      windowMs: 60_000,
      redis: { ...redis.options, connections: 3 },
      timeoutMs: HANG_MS,
    });
    // One denial, which comes when all the others of the id are admitted: an earlier one could be repeated by the deny
    // cache, if the event loop is slow to submit the rest.
    const id = freshId();
    const inFlight = Array.from({ length: 150 }, (_, i) => l.limit(i < 101 ? id : `${id}-${i}`));
    let settled = 0;
    for (const check of inFlight) void check.then(() => settled++);
    const closes = [l.close(), l.close()];
    await closes[1];
    expect(settled).toBe(150);
    await closes[0];
    const decisions = await Promise.all(inFlight);
    expect(decisions.filter((d) => d.allowed)).toHaveLength(149);
    expect(decisions.every((d) => d.source === 'redis')).toBe(true);
    await until(() => redis.connections() === 0);
    // Redis keeps the logs: they outlive the limiter.
    expect(await l.limit(id)).toMatchObject({ allowed: false, source: 'redis' });
    await l.close();
  });

  test('limiters on the same Redis share its connection', async () => {
    const make = (name: string) =>
      new RateLimiter({ name, limit: 5, windowMs: 1000, redis: redis.options, timeoutMs: HANG_MS });
    const limiters = ['a', 'b', 'c'].map(make);
    await Promise.all(limiters.map((l) => l.check(1)));
    expect(redis.connections()).toBe(1);
    await Promise.all(limiters.map((l) => l.close()));
  });

  test('a password function is called at each connect, and once more after a refusal', async () => {
    const locked = await startRedis('--requirepass', 'second');
    const given = ['zeroth', 'first', Promise.resolve('second')];
    let asked = 0;
    const l = new RateLimiter({
      name: 'password',
      limit: 5,
      windowMs: 60_000,
      onStoreError: 'throw',
      timeoutMs: HANG_MS,
      redis: { ...locked.options, password: () => given[asked++]! },
    });
    await expect(l.check(1)).rejects.toMatchObject({ code: 'WRONGPASS' });
    // The next attempt to connect is made in the background.
    const decided = async () => {
      const error = await l.check(1).then(
        () => undefined,
        (e: unknown) => e,
      );
      if (error === undefined) return true;
      expect(error).toMatchObject({ code: 'WRONGPASS' });
      await pass(10);
      return false;
    };
    await tryUntil(decided, (yes) => yes);
    expect(asked).toBe(3);
    await l.close();
    const broken = new RateLimiter({
      name: 'password',
      limit: 5,
      windowMs: 60_000,
      onStoreError: 'throw',
      timeoutMs: HANG_MS,
      redis: {
        ...locked.options,
        password: () => {
          throw new Error('sesame');
        },
      },
    });
    const error: Error = await broken.check(1).then(
      () => Promise.reject(new Error('resolved')),
      (e) => e,
    );
    expect(error).toMatchObject({ code: 'NOAUTH' });
    expect(error.message).not.toContain('sesame');
    await broken.close();
    await locked.stop();
  });
});

describe('at build time', () => {
  let counter: Server;
  let connected = 0;
  const before = process.env;

  beforeAll(async () => {
    counter = createServer((socket) => {
      connected++;
      socket.destroy();
    });
    await new Promise<void>((resolve) => counter.listen(0, '127.0.0.1', resolve));
    process.env = { ...before, REDIS_URL: `redis://127.0.0.1:${(counter.address() as AddressInfo).port}` };
  });
  afterAll(async () => {
    process.env = before;
    await new Promise((resolve) => counter.close(resolve));
  });
  afterEach(() => close());

  test('nothing connects at import, nor while Next.js builds; the first check after does', async () => {
    jest.isolateModules(() => require('@huntaze/rate-limit'));
    process.env.NEXT_PHASE = 'phase-production-build';
    const l = new RateLimiter({ name: 'building', limit: 1, windowMs: 1000, timeoutMs: HANG_MS });
    expect((await l.limit(1)).source).toBe('memory');
    await checkCreatorRateLimit(freshId());
    await l.close();
    expect(connected).toBe(0);
    delete process.env.NEXT_PHASE;
    expect((await l.limit(1)).source).toBe('local');
    expect(connected).toBeGreaterThan(0);
    await l.close();
  });
});
