import type { Metrics } from './types/metrics.js';

export * from './types/connection.js';
export * from './types/http.js';
export * from './types/iam.js';
export * from './types/metrics.js';

/** A creator's plan: 50, 100 and 500 requests an hour. */
export type CreatorPlan = 'starter' | 'pro' | 'business';

/** Who is limited: a whole number from 0 to 2^53 - 1, or a text of 1 to 256 UTF-8 bytes. `7` and `'7'` are the same. */
export type CreatorId = number | string;

/**
 * A request was turned away because the quota is used up. Its fields are own and enumerable, `name` and `code` too; `message`
 * is not, as of every error.
 *
 * @example
 * if (error instanceof RateLimitError) {
 *   return Response.json({ error: error.message }, { status: 429, headers: { 'Retry-After': `${error.retryAfter}` } });
 * }
 */
export declare class RateLimitError extends Error {
  readonly name: 'RateLimitError';
  readonly code: 'RATE_LIMITED';
  /** Whole seconds until a lone caller is admitted, at least 1. */
  readonly retryAfter: number;
  /** Requests the window holds. */
  readonly limit: number;
  /** Requests left: 0 when thrown by a check. */
  readonly remaining: number;
  /** The decision, with everything to the millisecond, when thrown by a check. */
  readonly decision?: Decision | undefined;
  constructor(retryAfter: number, limit: number, remaining: number);
}

/**
 * Takes one request from the creator's hourly quota. Resolves when it is allowed, rejects with {@link RateLimitError}
 * when the quota is used up, with a TypeError or RangeError (and a `code`) for an unusable id or plan.
 *
 * @param plan `'pro'` when left out. It picks the limit; the creator's history is the same for every plan.
 * @example
 * await checkCreatorRateLimit(42, 'starter');
 */
export declare function checkCreatorRateLimit(creatorId: CreatorId, plan?: CreatorPlan): Promise<void>;

/**
 * Where the creator stands; takes nothing from the quota.
 *
 * @example
 * const { remaining, reset } = await getRateLimitStatus(42, 'starter');
 */
export declare function getRateLimitStatus(creatorId: CreatorId, plan?: CreatorPlan): Promise<RateLimitStatus>;

/** Forgets the creator's requests: the whole quota is there again. */
export declare function resetCreatorRateLimit(creatorId: CreatorId): Promise<void>;

/** Where an id stands. */
export interface RateLimitStatus {
  /** Requests the window holds. */
  readonly limit: number;
  /** Requests left, 0 to `limit`. */
  readonly remaining: number;
  /** When every request now counted has left the window, in Unix ms; for an unused quota, now + window. */
  readonly reset: number;
}

/**
 * Sets the options of the creators' limiter. Before the first check, or after {@link close}; in between it throws an
 * Error with the code `ERR_RATE_LIMIT_CONFIG`.
 *
 * @example
 * configure({ plans: { pro: 200 }, onStoreError: 'closed' });
 */
export declare function configure(options: CreatorRateLimitOptions): void;

/**
 * Calls `listener` for every creator who asks for more than twice the limit within five minutes, in place of the line
 * that is logged otherwise: once, at most a second after the request that was too much. For the next five minutes that creator is
 * not counted. Returns what removes the listener.
 *
 * @example
 * const off = onAnomaly(({ creatorId, requestsIn5Min }) => alert(creatorId, requestsIn5Min));
 */
export declare function onAnomaly(listener: (anomaly: Anomaly) => void): () => void;

/**
 * Calls `listener` each time the store goes away for the creators' limiter and each time it is back, in place of the lines that
 * are logged otherwise. Redis is away while checks are not sent to it: after three failures in a row, or when half of the recent
 * ones fail, of a cluster on any shard. A check that fails by itself is no change. What happens while the limiter is not open,
 * before its first check or after {@link close}, is not reported. Returns what removes the listener.
 *
 * @example
 * const off = onStoreStateChange(({ state, code, durationMs }) => status.update(state, code ?? durationMs));
 */
export declare function onStoreStateChange(listener: (change: StoreStateChange) => void): () => void;

/**
 * Lets the creators' checks in flight settle, waits up to `timeoutMs` until the denials that were answered here have been
 * counted for anomalies, then drops the connections and forgets local state: on the embedded store that is every quota,
 * unless another open limiter counts on it. The next check starts afresh.
 */
export declare function close(): Promise<void>;

/**
 * The general limiter; the creator functions are one instance of it.
 *
 * @example
 * const uploads = new RateLimiter({ name: 'uploads', limit: 10, windowMs: 60_000 });
 * const { allowed, retryAfterMs } = await uploads.limit(userId);
 */
export declare class RateLimiter {
  /** @throws TypeError or RangeError that names the option and what it takes. */
  constructor(options: RateLimiterOptions);
  /** Takes one request; resolves for a denial too. */
  limit(id: string | number, options?: { limit?: number | undefined }): Promise<Decision>;
  /** Takes one request; rejects with {@link RateLimitError} for a denial. */
  check(id: string | number, options?: { limit?: number | undefined }): Promise<void>;
  /** Where the id stands; takes nothing. */
  status(id: string | number, options?: { limit?: number | undefined }): Promise<RateLimitStatus>;
  /** Forgets the id's requests. */
  reset(id: string | number): Promise<void>;
  /** What limiters of this name have counted in this process; see `getMetrics`. */
  getMetrics(): Metrics;
  /** As the function {@link onAnomaly}, for this limiter. */
  onAnomaly(listener: (anomaly: Anomaly) => void): () => void;
  /** As the function {@link onStoreStateChange}, for this limiter. */
  onStoreStateChange(listener: (change: StoreStateChange) => void): () => void;
  /** As the function {@link close}, for this limiter. */
  close(): Promise<void>;
}

export interface RateLimiterOptions {
  /**
   * Namespace of its keys: 1 to 64 letters, digits, `.`, `_`, `-`. Limiters of one name on one Redis share their logs, so
   * give them one window: the shorter one drops what the longer one still counts. `creator` is the creators' own.
   */
  readonly name: string;
  /** Requests the window holds: 1 to 1,000,000. */
  readonly limit: number;
  /** How long a request counts, in ms: 1 to 31 days (2,678,400,000). */
  readonly windowMs: number;
  /** Where Redis is. Left out: the environment says; nothing there: the embedded memory store. */
  readonly redis?: RedisOptions | undefined;
  /**
   * Who decides while Redis is away: this process alone (`'local'`, the default), which admits one limit a window at most and
   * tells Redis when it is back; nobody and all pass (`'open'`); nobody and none passes (`'closed'`); or the caller, who gets
   * an Error with a stable `code` and its `cause` (`'throw'`).
   */
  readonly onStoreError?: 'local' | 'open' | 'closed' | 'throw' | undefined;
  /** The deadline of one check in ms: 1 to 60,000; 250 when left out. */
  readonly timeoutMs?: number | undefined;
  /**
   * Longest time a denial is answered without asking Redis again, in ms: 0 (off) to 60,000; 1000 when left out. A remembered
   * denial is never wrong by itself; this bounds how late a reset made elsewhere (another process or limiter) is seen.
   */
  readonly denyCacheMs?: number | undefined;
  /**
   * When an id is reported: more than `factor` (1 to 1000; 2 when left out) times its limit within `windowMs` (300,000
   * when left out; never above the quota's window), and at most once in `windowMs`. `false`: never.
   */
  readonly anomaly?:
    { readonly factor?: number | undefined; readonly windowMs?: number | undefined } | false | undefined;
}

/** The options of the creators' limiter. */
export interface CreatorRateLimitOptions extends Omit<RateLimiterOptions, 'name' | 'limit' | 'windowMs'> {
  /** As of a {@link RateLimiter}; an hour when left out. */
  readonly windowMs?: number | undefined;
  /** Requests an hour (or `windowMs`) of a plan, where they differ from 50, 100 and 500. */
  readonly plans?: { readonly [Plan in CreatorPlan]?: number | undefined } | undefined;
}

/**
 * Where Redis is and how to reach it: a `url` or a `host`, one of the two. `undefined` is as good as left out. What can never
 * work is refused at once with a TypeError (`ERR_INVALID_ARG_VALUE`) that names the option; nothing is trimmed.
 */
export interface RedisOptions {
  /**
   * `redis://[user[:password]@]host[:port][/database]`; `rediss://` for TLS; at most 100,000 characters. An option may say
   * the same user or database again, and no other; a `password` replaces the URL's.
   */
  readonly url?: string | undefined;
  /**
   * A name of at most 253 characters, its parts 1 to 63 letters, digits, `-` or `_` between dots; or an address, that of IPv6
   * with brackets or without. A name beyond ASCII in its `xn--` form.
   */
  readonly host?: string | undefined;
  /** 1 to 65,535; 6379 when left out. */
  readonly port?: number | undefined;
  /** The ACL user: 1 to 16,384 characters without spaces. */
  readonly username?: string | undefined;
  /**
   * Several are tried in order at each connect, so that a token can be rotated. A function is asked at each connect, once
   * more when the server refuses what it gave (`WRONGPASS`), and every 10.5 to 11.5 hours for a connection in use, which then
   * logs in again; where it throws, rejects or gives no text, the connect fails with `NOAUTH`. The time it takes is part of
   * `connectTimeoutMs`. A password has at most 16,384 characters: Redis reads no more before a login. For IAM authentication of
   * ElastiCache see {@link elastiCacheIam}.
   */
  readonly password?: string | readonly string[] | (() => string | Promise<string>) | undefined;
  /** 0 when left out. */
  readonly database?: number | undefined;
  /**
   * TLS 1.2 or 1.3; the certificate is always verified. `ca` (PEM, one certificate or more, 4 MiB at most) is trusted instead of the public
   * roots; `servername` (a DNS name or an address) is expected in the certificate instead of the host, on every node where
   * there are several. Each of a wrong authority, name or time, and plain against TLS, is an error with the code `TLS`.
   */
  readonly tls?: boolean | { readonly ca?: string | undefined; readonly servername?: string | undefined } | undefined;
  /**
   * Whether it is a Redis Cluster (cluster mode enabled, or serverless). Left out, the server is asked, once, with `CLUSTER SLOTS`.
   * Checks fail with `CLUSTER` where it is not as said here. A cluster has database 0 only.
   */
  readonly cluster?: boolean | undefined;
  /** Multiplexed connections this process holds, to each primary of a cluster: 1 to 16; 1 when left out. */
  readonly connections?: number | undefined;
  /**
   * Budget of one connect in ms, from the look-up of the name to AUTH: 1 to 60,000; 1000 when left out. Connects go on in the
   * background past a check's deadline. A server that has never been reached, takes the connection and says nothing for half
   * of it is asked whether it speaks TLS where plain text was sent, or the other way round.
   */
  readonly connectTimeoutMs?: number | undefined;
}

/** The answer to one request. */
export interface Decision {
  readonly allowed: boolean;
  readonly limit: number;
  /** Requests left, 0 to `limit`. */
  readonly remaining: number;
  /** As in {@link RateLimitStatus}. */
  readonly reset: number;
  /** How long that is from the decision on, in ms, by the clock of the store: this machine's may be wrong. */
  readonly resetAfterMs: number;
  /**
   * Milliseconds until a lone caller is admitted (one earlier, it is denied); 0 when allowed. From the denied cache it is
   * counted from when the first denial came, and so later by the way of that answer at most.
   */
  readonly retryAfterMs: number;
  /** Who decided. */
  readonly source: 'redis' | 'memory' | 'deny-cache' | 'local' | 'open' | 'closed';
}

/** An id that asked for more than it should. */
export interface Anomaly {
  /** The id as it was given: escape it before you log it. */
  readonly creatorId: string;
  /** The plan of the request that crossed the threshold, for a creator. */
  readonly plan?: CreatorPlan;
  /** Requests counted within the anomaly window, this one included. */
  readonly requestsIn5Min: number;
  /** As many would have been ordinary. */
  readonly threshold: number;
  /** ISO 8601. */
  readonly timestamp: string;
}

/** Redis has gone away for a limiter, or is back. */
export interface StoreStateChange {
  readonly state: 'away' | 'back';
  /** The limiter's name; `'creator'` for the creators'. */
  readonly limiter: string;
  /** What decides, or decided, in its place. */
  readonly policy: NonNullable<RateLimiterOptions['onStoreError']>;
  /** Of `'away'`: the code of the error, as `onStoreError: 'throw'` rejects with. */
  readonly code?: string;
  /** Of `'away'`: host and port of the primary that failed; left out where a shard has none. */
  readonly shard?: string;
  /** Of `'back'`: how long it was away, in whole ms. */
  readonly durationMs?: number;
  /** Of `'back'`: how many checks of this limiter the policy decided meanwhile; under `'throw'`, rejected. */
  readonly decided?: number;
}
