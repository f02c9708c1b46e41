import type { Metrics } from './types/metrics.js';

export * from './types/connection.js';
export * from './types/http.js';
export * from './types/iam.js';
export * from './types/metrics.js';

/**
 * The general limiter: one limit for every id, unless a check names its own. `limit()` and `check()` both take one request;
 * `limit()` resolves to the {@link Decision}, also for a denial, and `check()` resolves to nothing and rejects a denial with
 * {@link RateLimitError}.
 *
 * An id is a whole number from 0 to 2^53 - 1 or a text of 1 to 256 UTF-8 bytes; `7` and `'7'` are the same. Methods that
 * return a promise never throw. Requests settle within `timeoutMs` and reject with
 *
 * - a TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`) or RangeError (`ERR_OUT_OF_RANGE`) for an unusable argument;
 * - an Error with the code `ERR_RATE_LIMIT_CONFIG` for environment variables that cannot work;
 * - the store's error, with its `code`, under `onStoreError: 'throw'` when the store reached no decision.
 *
 * @example
 * const uploads = new RateLimiter({ name: 'uploads', limit: 10, windowMs: 60_000 });
 * const { allowed, retryAfterMs } = await uploads.limit(userId);
 */
export declare class RateLimiter {
  /**
   * Connects to nothing: the first request does.
   *
   * @throws TypeError or RangeError that names the option and what it takes.
   */
  constructor(options: RateLimiterOptions);
  /**
   * Takes one request. Resolves to the decision, also for a denial.
   *
   * @param options `limit`: the limit of this request, 1 to 1,000,000. Default: the limiter's.
   */
  limit(id: string | number, options?: { limit?: number | undefined }): Promise<Decision>;
  /**
   * Takes one request. Resolves when it is allowed; rejects a denial with {@link RateLimitError}.
   *
   * @param options `limit`: the limit of this request, 1 to 1,000,000. Default: the limiter's.
   */
  check(id: string | number, options?: { limit?: number | undefined }): Promise<void>;
  /**
   * How much of the id's quota is used. Takes nothing.
   *
   * @param options `limit`: the limit to compare with, 1 to 1,000,000. Default: the limiter's.
   */
  status(id: string | number, options?: { limit?: number | undefined }): Promise<RateLimitStatus>;
  /**
   * Forgets the id's requests: the whole quota is available again. While Redis is away this rejects under the policies that
   * keep no log: `'open'`, `'closed'` and `'throw'`.
   */
  reset(id: string | number): Promise<void>;
  /** What limiters of this name have counted in this process; see `getMetrics`. */
  getMetrics(): Metrics;
  /**
   * As the function {@link onAnomaly}, for this limiter. Returns an unsubscribe function.
   *
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`) if `listener` is not a function.
   */
  onAnomaly(listener: (anomaly: Anomaly) => void): () => void;
  /**
   * As the function {@link onStoreStateChange}, for this limiter. Returns an unsubscribe function.
   *
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`) if `listener` is not a function.
   */
  onStoreStateChange(listener: (change: StoreStateChange) => void): () => void;
  /** As the function {@link close}, for this limiter. */
  close(): Promise<void>;
}

/** The options of a {@link RateLimiter}. */
export interface RateLimiterOptions {
  /**
   * Namespace of its keys: 1 to 64 letters, digits, `.`, `_`, `-`. Limiters of one name on one Redis share their logs. Give
   * them one window: a limiter with a shorter window drops entries that one with a longer window still counts. The functions
   * for creators use the name `creator`.
   */
  readonly name: string;
  /** Requests that the window holds: 1 to 1,000,000. */
  readonly limit: number;
  /** How long a request counts, in ms: 1 to 2,678,400,000 (31 days). */
  readonly windowMs: number;
  /** Where Redis is. Default: the environment variables; without these, the embedded memory store. */
  readonly redis?: RedisOptions | undefined;
  /**
   * The policy that decides while Redis is away. Default: `'local'`.
   *
   * - `'local'`: this process alone. It admits at most one limit a window, and replays its admissions when Redis is back.
   * - `'open'`: every request is allowed.
   * - `'closed'`: every request is denied, with a retry after 1 s.
   * - `'throw'`: the caller. The request rejects with an Error that has a stable `code` and its `cause`.
   */
  readonly onStoreError?: 'local' | 'open' | 'closed' | 'throw' | undefined;
  /** The deadline of one request, in ms: 1 to 60,000. Default: 250. */
  readonly timeoutMs?: number | undefined;
  /**
   * The longest time for which a denial is repeated without asking Redis, in ms: 0 (off) to 60,000. Default: 1000. A repeated
   * denial is never wrong by itself. This option bounds how late a reset by another process or limiter is noticed.
   */
  readonly denyCacheMs?: number | undefined;
  /**
   * When an id is reported: when it asks for more than `factor` times its limit within `windowMs`, and at most once in
   * `windowMs`. `factor`: 1 to 1000. Default: 2. `windowMs`, in ms: 1 to 2,678,400,000, and never above the quota's window.
   * Default: 300,000. `false`: never.
   */
  readonly anomaly?:
    { readonly factor?: number | undefined; readonly windowMs?: number | undefined } | false | undefined;
}

/**
 * Where Redis is and how to reach it: either a `url` or a `host`. `undefined` counts as absent. An option that can never work
 * is refused at once with a TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`) or RangeError (`ERR_OUT_OF_RANGE`)
 * that names it. Nothing is trimmed.
 */
export interface RedisOptions {
  /**
   * `redis://[user[:password]@]host[:port][/database]`, or `rediss://` for TLS; at most 100,000 characters. Another option may
   * repeat the user or database of the URL, but not contradict it. The option `password` replaces the URL's, and `port` is not
   * allowed beside a URL.
   */
  readonly url?: string | undefined;
  /**
   * A name of at most 253 characters, made of labels of 1 to 63 letters, digits, `-` or `_` between dots; or an address, an IPv6
   * address with or without brackets. A name beyond ASCII must be in its `xn--` form.
   */
  readonly host?: string | undefined;
  /** 1 to 65,535. Default: 6379. */
  readonly port?: number | undefined;
  /** The ACL user: 1 to 16,384 characters without spaces. Default: the URL's, or else Redis' user `default`. */
  readonly username?: string | undefined;
  /**
   * A password, a list or a function; each password has 1 to 16,384 characters, because Redis reads no more before a login.
   * Default: the URL's, or else none.
   *
   * - A list is tried in order at each connect, so that a token can be rotated.
   * - A function is called at each connect, once more when the server refuses its password (`WRONGPASS`), and every 10.5 to
   *   11.5 hours for a connection in use, which then authenticates again. If it throws, rejects or returns no text, the connect
   *   fails with `NOAUTH`. Its time is part of `connectTimeoutMs`. For IAM authentication of ElastiCache see
   *   {@link elastiCacheIam}.
   */
  readonly password?: string | readonly string[] | (() => string | Promise<string>) | undefined;
  /** 0 to 65,535, as far as the server has databases; a cluster has database 0 only. Default: the URL's, or else 0. */
  readonly database?: number | undefined;
  /**
   * TLS 1.2 or 1.3; the certificate is always verified. Default: on for `rediss://`, for {@link elastiCacheIam}, and where a
   * password goes to `*.cache.amazonaws.com`; otherwise off. `false` beside a `rediss://` URL is refused.
   *
   * - `ca`: PEM, one certificate or more, at most 4 MiB. Trusted instead of the public roots.
   * - `servername`: a DNS name or an address, at most 253 characters. Expected in the certificate instead of the host, on every
   *   node if there are several.
   *
   * A certificate of a wrong authority, name or time, and plain text against TLS, are errors with the code `TLS`.
   */
  readonly tls?: boolean | { readonly ca?: string | undefined; readonly servername?: string | undefined } | undefined;
  /**
   * Whether it is a Redis Cluster (cluster mode enabled, or serverless). Default: the server is asked, once a thread, with
   * `CLUSTER SLOTS`. Checks fail with the code `CLUSTER` if the server is not what this option says.
   */
  readonly cluster?: boolean | undefined;
  /**
   * Connections of a thread, to each primary of a cluster: 1 to 16. Default: 1. The main thread and each worker that checks have
   * their own. The limiters of a thread with the same options share them; one with a `password` function has its own. Commands are
   * pipelined.
   */
  readonly connections?: number | undefined;
  /**
   * The time for one connect, from the DNS lookup to AUTH, in ms: 1 to 60,000. Default: 1000. A connect continues in the
   * background after the deadline of a check. If a server has never been reached, accepts the connection and stays silent for
   * half of this time, the limiter tests whether it speaks TLS instead of plain text, or the other way round.
   */
  readonly connectTimeoutMs?: number | undefined;
}

/** The answer to one request. */
export interface Decision {
  readonly allowed: boolean;
  /** Requests that the window holds. */
  readonly limit: number;
  /** Requests left: 0 to `limit`. */
  readonly remaining: number;
  /** As in {@link RateLimitStatus}: Unix ms, by the clock of the store. */
  readonly reset: number;
  /** The time from the decision to `reset`, in ms, by the clock of the store: this machine's clock may be wrong. */
  readonly resetAfterMs: number;
  /**
   * Time until a lone caller is admitted, in ms; one millisecond earlier it is denied. 0 when allowed. From the deny cache the
   * time counts from the arrival of the first denial, and is therefore too long by the latency of that answer at most.
   */
  readonly retryAfterMs: number;
  /** The store, cache or policy that decided. */
  readonly source: 'redis' | 'memory' | 'deny-cache' | 'local' | 'open' | 'closed';
}

/** How much of an id's quota is used. */
export interface RateLimitStatus {
  /** Requests that the window holds. */
  readonly limit: number;
  /** Requests left: 0 to `limit`. */
  readonly remaining: number;
  /** When every request now counted has left the window, in Unix ms; for an unused quota, now + window. */
  readonly reset: number;
}

/**
 * A request was denied because the quota is used up. Its fields are own and enumerable, `name` and `code` included; `message`
 * is not, as in every error. When a check rejects with it, its stack has no frames: a denial is ordinary traffic.
 *
 * @example
 * if (error instanceof RateLimitError) {
 *   return Response.json({ error: error.message }, { status: 429, headers: { 'Retry-After': `${error.retryAfter}` } });
 * }
 */
export declare class RateLimitError extends Error {
  readonly name: 'RateLimitError';
  readonly code: 'RATE_LIMITED';
  /** Whole seconds until a lone caller is admitted, rounded up: at least 1. */
  readonly retryAfter: number;
  /** Requests that the window holds. */
  readonly limit: number;
  /** Requests left: 0 when a check rejects with it. */
  readonly remaining: number;
  /** The decision, with all times in ms, when a check rejects with it. */
  readonly decision?: Decision | undefined;
  constructor(retryAfter: number, limit: number, remaining: number);
}

/** An id that asked for more than it should. */
export interface Anomaly {
  /** The id as it was given, of any limiter: escape it before you log it. */
  readonly creatorId: string;
  /** For a creator: the plan of the request that crossed the threshold. */
  readonly plan?: CreatorPlan;
  /** Requests counted within the anomaly window (five minutes by default), this one included. */
  readonly requestsIn5Min: number;
  /** The highest count that is not an anomaly. */
  readonly threshold: number;
  /** When this process was notified, ISO 8601. */
  readonly timestamp: string;
}

/** Redis has gone away for a limiter, or is back. */
export interface StoreStateChange {
  readonly state: 'away' | 'back';
  /** The limiter's name; `'creator'` for the creators'. */
  readonly limiter: string;
  /** The policy that decides, or decided, instead. */
  readonly policy: NonNullable<RateLimiterOptions['onStoreError']>;
  /** For `'away'`: the code of the error, as `onStoreError: 'throw'` rejects with. */
  readonly code?: string;
  /** For `'away'`: host and port of the primary that failed; absent if the shard has none. */
  readonly shard?: string;
  /** For `'back'`: how long Redis was away, in whole ms. */
  readonly durationMs?: number;
  /** For `'back'`: how many checks of this limiter the policy decided, or rejected under `'throw'`. */
  readonly decided?: number;
}

/** A creator's plan. By default 50, 100 and 500 requests an hour. */
export type CreatorPlan = 'starter' | 'pro' | 'business';

/** A whole number from 0 to 2^53 - 1, or a text of 1 to 256 UTF-8 bytes. `7` and `'7'` are the same. */
export type CreatorId = number | string;

/**
 * Takes one request from the creator's hourly quota. Resolves when it is allowed; rejects a denial with
 * {@link RateLimitError}. Otherwise it rejects as the methods of a {@link RateLimiter} do.
 *
 * @param plan Picks the limit; the creator's history is the same for every plan. Default: `'pro'`.
 * @example
 * await checkCreatorRateLimit(42, 'starter');
 */
export declare function checkCreatorRateLimit(creatorId: CreatorId, plan?: CreatorPlan): Promise<void>;

/**
 * How much of the creator's quota is used. Takes nothing. Rejects as the methods of a {@link RateLimiter} do.
 *
 * @param plan Picks the limit. Default: `'pro'`.
 * @example
 * const { remaining, reset } = await getRateLimitStatus(42, 'starter');
 */
export declare function getRateLimitStatus(creatorId: CreatorId, plan?: CreatorPlan): Promise<RateLimitStatus>;

/**
 * Forgets the creator's requests: the whole quota is available again. Rejects as the method `reset` of a {@link RateLimiter}
 * does.
 */
export declare function resetCreatorRateLimit(creatorId: CreatorId): Promise<void>;

/** The options of the creators' limiter. */
export interface CreatorRateLimitOptions extends Omit<RateLimiterOptions, 'name' | 'limit' | 'windowMs'> {
  /** How long a request counts, in ms: 1 to 2,678,400,000 (31 days). Default: 3,600,000 (an hour). */
  readonly windowMs?: number | undefined;
  /** Requests that the window of a plan holds: 1 to 1,000,000. Default: 50, 100 and 500. */
  readonly plans?: { readonly [Plan in CreatorPlan]?: number | undefined } | undefined;
}

/**
 * Sets the options of the creators' limiter, before the first check or after {@link close}.
 *
 * @throws Error with the code `ERR_RATE_LIMIT_CONFIG` in between; TypeError or RangeError that names the option and what it
 * takes.
 * @example
 * configure({ plans: { pro: 200 }, onStoreError: 'closed' });
 */
export declare function configure(options: CreatorRateLimitOptions): void;

/**
 * Calls `listener` for every creator that asks for more than twice the limit within five minutes (or as the option `anomaly`
 * says), instead of the line that is logged otherwise. The call comes once, at most a second after the request that crossed the
 * threshold. For the next five minutes that creator is not counted. Returns an unsubscribe function.
 *
 * @throws TypeError (`ERR_INVALID_ARG_TYPE`) if `listener` is not a function.
 * @example
 * const off = onAnomaly(({ creatorId, requestsIn5Min }) => alert(creatorId, requestsIn5Min));
 */
export declare function onAnomaly(listener: (anomaly: Anomaly) => void): () => void;

/**
 * Calls `listener` each time the store goes away for the creators' limiter and each time it is back, instead of the lines that
 * are logged otherwise. Redis is away while the circuit breaker sends no checks to it: after three consecutive failures, or when
 * half of the recent batches fail; on a cluster, for any shard. A single failed check is no change. Changes while the limiter is
 * not open, before its first check or after {@link close}, are not reported. Returns an unsubscribe function.
 *
 * @throws TypeError (`ERR_INVALID_ARG_TYPE`) if `listener` is not a function.
 * @example
 * const off = onStoreStateChange(({ state, code, durationMs }) => status.update(state, code ?? durationMs));
 */
export declare function onStoreStateChange(listener: (change: StoreStateChange) => void): () => void;

/**
 * Waits until the creators' checks in flight have settled, and up to `timeoutMs` until the denials that were repeated in this
 * process have been counted for anomalies. Then drops the connections and forgets local state. On the embedded store that is
 * every quota, unless another open limiter uses it. The next check opens the limiter again.
 */
export declare function close(): Promise<void>;
