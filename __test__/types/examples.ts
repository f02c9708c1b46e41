// Compiled, never run: what the types allow, and by @ts-expect-error what they forbid. An expectation that no longer
// holds is an error of the compiler's, so each line here can fail.

import {
  RateLimitError,
  RateLimiter,
  checkCreatorRateLimit,
  close,
  configure,
  getRateLimitStatus,
  onAnomaly,
  resetCreatorRateLimit,
  type Anomaly,
  type CreatorId,
  type CreatorPlan,
  type CreatorRateLimitOptions,
  type Decision,
  type RateLimitStatus,
  type RateLimiterOptions,
  type RedisOptions,
} from '../../index.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <A, B>(_: Equal<A, B>): void => {};

same<CreatorPlan, 'starter' | 'pro' | 'business'>(true);
same<CreatorId, number | string>(true);
same<ReturnType<typeof checkCreatorRateLimit>, Promise<void>>(true);
same<ReturnType<typeof getRateLimitStatus>, Promise<RateLimitStatus>>(true);
same<ReturnType<typeof resetCreatorRateLimit>, Promise<void>>(true);
same<ReturnType<typeof close>, Promise<void>>(true);
same<ReturnType<typeof onAnomaly>, () => void>(true);
same<Awaited<ReturnType<RateLimiter['limit']>>, Decision>(true);
same<Decision['source'], 'redis' | 'memory' | 'deny-cache' | 'local' | 'open' | 'closed'>(true);
same<RateLimitError['code'], 'RATE_LIMITED'>(true);
same<Anomaly['plan'], CreatorPlan | undefined>(true);

async function examples(): Promise<void> {
  void checkCreatorRateLimit(7);
  void checkCreatorRateLimit('7', 'business');
  // @ts-expect-error a plan that does not exist
  void checkCreatorRateLimit(7, 'gold');
  // @ts-expect-error null is no plan
  void checkCreatorRateLimit(7, null);
  // @ts-expect-error a bigint is no id
  void checkCreatorRateLimit(7n);
  // @ts-expect-error an id is required
  void checkCreatorRateLimit();

  try {
    await checkCreatorRateLimit(7, 'pro');
  } catch (error) {
    if (error instanceof RateLimitError) {
      same<typeof error.retryAfter, number>(true);
      error.limit.toString();
      error.remaining.toString();
      // @ts-expect-error read only
      error.limit = 3;
    }
  }
  new RateLimitError(1, 50, 0);
  // @ts-expect-error three numbers
  new RateLimitError(1);

  configure({});
  configure({ plans: { pro: 200 }, windowMs: 60_000, onStoreError: 'closed', anomaly: false });
  // @ts-expect-error the creators' limiter has its name
  configure({ name: 'x' });
  // @ts-expect-error a plan that does not exist
  configure({ plans: { gold: 1 } });
  // @ts-expect-error a policy that does not exist
  configure({ onStoreError: 'deny' });
  const creators: CreatorRateLimitOptions = { redis: { url: 'redis://localhost' } };
  configure(creators);

  const options: RateLimiterOptions = { name: 'uploads', limit: 10, windowMs: 60_000 };
  const limiter = new RateLimiter(options);
  // @ts-expect-error a window is required
  new RateLimiter({ name: 'uploads', limit: 10 });
  const decision = await limiter.limit('id', { limit: 3 });
  same<typeof decision.allowed, boolean>(true);
  // @ts-expect-error read only
  decision.allowed = true;
  // @ts-expect-error no such option
  void limiter.check('id', { cost: 3 });
  const off: () => void = limiter.onAnomaly((anomaly) => same<typeof anomaly, Anomaly>(true));
  off();

  const redis: RedisOptions[] = [
    { url: 'rediss://user:password@host:6379/0' },
    { host: 'host', port: 6380, password: ['old', 'new'], tls: { ca: 'pem', servername: 'name' } },
    { host: 'host', password: async () => 'token', connections: 4, connectTimeoutMs: 500, cluster: false },
  ];
  void redis;
  // @ts-expect-error verification cannot be turned off
  const insecure: RedisOptions = { host: 'host', tls: { rejectUnauthorized: false } };
  void insecure;
}
void examples;
