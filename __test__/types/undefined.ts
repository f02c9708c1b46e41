// Compiled, never run: under exactOptionalPropertyTypes, every option may be `undefined`, which equals omitting it.

import {
  RateLimiter,
  configure,
  connectionRoute,
  elastiCacheIam,
  rateLimitHeaders,
  testConnection,
  withRateLimit,
  type AwsCredentials,
  type ConnectionRouteOptions,
  type CreatorRateLimitOptions,
  type ElastiCacheIamOptions,
  type RateLimitPolicy,
  type RateLimiterOptions,
  type RedisOptions,
  type TestConnectionOptions,
  type WithRateLimitOptions,
} from '../../index.js';

/** The keys of `T` that are optional and may not be undefined. There should be none. */
type Strict<T> = {
  [Key in keyof T]-?: Record<never, never> extends Pick<T, Key>
    ? Record<Key, undefined> extends Pick<T, Key>
      ? never
      : Key
    : never;
}[keyof T];
const none = <T>(_: [T] extends [never] ? true : T): void => {};

none<Strict<RateLimiterOptions>>(true);
none<Strict<CreatorRateLimitOptions>>(true);
none<Strict<NonNullable<CreatorRateLimitOptions['plans']>>>(true);
none<Strict<Exclude<NonNullable<RateLimiterOptions['anomaly']>, false>>>(true);
none<Strict<NonNullable<Parameters<RateLimiter['limit']>[1]>>>(true);
none<Strict<NonNullable<Parameters<RateLimiter['check']>[1]>>>(true);
none<Strict<NonNullable<Parameters<RateLimiter['status']>[1]>>>(true);
none<Strict<RedisOptions>>(true);
none<Strict<Exclude<NonNullable<RedisOptions['tls']>, boolean>>>(true);
none<Strict<TestConnectionOptions>>(true);
none<Strict<ConnectionRouteOptions>>(true);
none<Strict<ElastiCacheIamOptions>>(true);
none<Strict<AwsCredentials>>(true);
none<Strict<RateLimitPolicy>>(true);
none<Strict<WithRateLimitOptions>>(true);
none<Strict<Extract<WithRateLimitOptions, { limiter: RateLimiter }>>>(true);
// @ts-expect-error 'timeoutMs' is such a key
none<Strict<{ readonly timeoutMs?: number }>>(true);

const limiter = new RateLimiter({
  name: 'undefined',
  limit: 1,
  windowMs: 1000,
  redis: undefined,
  onStoreError: undefined,
  timeoutMs: undefined,
  denyCacheMs: undefined,
  anomaly: { factor: undefined, windowMs: undefined },
});
void limiter.limit(1, { limit: undefined });
configure({ windowMs: undefined, anomaly: undefined, plans: { starter: undefined, pro: 5, business: undefined } });
configure({ plans: undefined, redis: { url: undefined, host: 'h', tls: { ca: undefined, servername: undefined } } });
void testConnection({ details: undefined, correlationId: undefined, timeoutMs: undefined });
connectionRoute({ operatorToken: undefined, timeoutMs: undefined });
elastiCacheIam({ cache: 'c', username: 'u', region: undefined, serverless: undefined, credentials: undefined });
void limiter.limit(1).then((decision) => rateLimitHeaders(decision, { name: undefined, windowMs: undefined }));

declare const answer: () => Promise<Response>;
withRateLimit(answer, { id: () => 1, plan: undefined, limiter: undefined, onDenied: undefined });
withRateLimit(answer, { id: () => 1, limiter, plan: undefined, onDenied: undefined });
