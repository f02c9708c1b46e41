import { AsyncLocalStorage } from 'node:async_hooks';
import {
  RateLimiter,
  close,
  configure,
  checkCreatorRateLimit,
  onAnomaly,
  type RedisOptions,
} from '@huntaze/rate-limit';
import { startRedis, type RedisServer } from './support/redis';
import { freshId, stores } from './support/stores';
import { HANG_MS, until } from './support/time';

// Functions that the application has registered run in the async context of their registration, whichever request calls
// them.

const context = new AsyncLocalStorage<string>();

describe.each(stores)('the listeners on $name', (store) => {
  beforeAll(() => store.start());
  afterAll(() => store.stop());

  test('of a limiter', async () => {
    const options = { name: freshId(), limit: 1, windowMs: 60_000, timeoutMs: HANG_MS, redis: store.redis() };
    const limiter = new RateLimiter(options);
    const seen: unknown[] = [];
    const listen = () => limiter.onAnomaly(() => seen.push(context.getStore()));
    context.run('first', listen);
    context.run('second', listen);
    listen();
    await context.run('other', async () => {
      for (let i = 0; i < 6; i++) await limiter.limit('id');
    });
    await until(() => seen.length >= 3);
    expect(seen.slice(0, 3)).toEqual(['first', 'second', undefined]);
    await limiter.close();
  });

  test('of the creators, also after a close and a new configuration', async () => {
    const seen: unknown[] = [];
    const off = context.run('registered', () => onAnomaly(() => seen.push(context.getStore())));
    await context.run('opens it', async () => {
      configure({ plans: { starter: 1 }, redis: store.redis(), timeoutMs: HANG_MS });
      await checkCreatorRateLimit(freshId(), 'starter');
      await close();
      configure({ plans: { starter: 1 }, redis: store.redis(), timeoutMs: HANG_MS });
    });
    const id = freshId();
    await context.run('other', async () => {
      for (let i = 0; i < 6; i++) await checkCreatorRateLimit(id, 'starter').catch(() => {});
    });
    await until(() => seen.length > 0);
    expect(seen[0]).toBe('registered');
    off();
    await close();
  });
});

describe('a password function', () => {
  let redis: RedisServer;
  beforeAll(async () => (redis = await startRedis('--requirepass', 'right')));
  afterAll(() => redis.stop());

  test('runs in the context in which its limiter was created', async () => {
    const seen: unknown[] = [];
    const password = async () => {
      seen.push(context.getStore());
      return 'right';
    };
    const options: RedisOptions = { host: '127.0.0.1', port: redis.port, password, connectTimeoutMs: HANG_MS };
    const limiter = context.run(
      'made here',
      () => new RateLimiter({ name: freshId(), limit: 1, windowMs: 60_000, timeoutMs: HANG_MS, redis: options }),
    );
    const decision = await context.run('other', () => limiter.limit('id'));
    expect(decision.source).toBe('redis');
    expect(new Set(seen)).toEqual(new Set(['made here']));
    await limiter.close();
  });
});
