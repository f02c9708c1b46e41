// Metrics of the process since its first check. No label and no field names a creator, except in topCreators().

import type { CreatorPlan, Decision } from '../index.js';

/** A histogram: how many observations fell into each bucket. */
export interface Histogram {
  /** Upper bounds, included, in rising order; the last is `Infinity`. */
  readonly bounds: readonly number[];
  /** Observations of each bucket alone, not cumulative; as many as `bounds`. */
  readonly counts: readonly number[];
  /** The sum of all observations, in the unit of the bounds. */
  readonly sum: number;
  /** How many observations there are. */
  readonly count: number;
}

/**
 * What all limiters of one name in this process have counted, over all threads. Numbers are whole and never decrease, except the
 * gauges `inFlight`, `breaker.state`, `store.away` and `connections.open`. `close()` does not reset them. A process counts 256 names
 * separately. With more, the figures of closed limiters are forgotten. If all are open, the further ones are counted together, and
 * exported under the name `*`. The creators' figures are always separate.
 */
export interface Metrics {
  /** The limiter's name; `'creator'` for the creators'. */
  readonly limiter: string;
  /** Checks that were answered: allowed + denied + failed. Checks in flight are not included yet. */
  readonly checks: number;
  /** Allowed checks by the source of the decision. */
  readonly allowed: Readonly<Record<Decision['source'], number>>;
  /** Denied checks by the source of the decision; `denied['deny-cache']` counts the hits of the deny cache. */
  readonly denied: Readonly<Record<Decision['source'], number>>;
  /** Checks that rejected because the store reached no decision (`onStoreError: 'throw'`). */
  readonly failed: number;
  /** Denied checks of all sources. */
  readonly denials: number;
  /** Decisions made without the store because it was away: by `local`, `open` and `closed`. */
  readonly degraded: number;
  /** Anomalies reported. */
  readonly anomalies: number;
  /** Requests in flight now: checks, statuses and resets. */
  readonly inFlight: number;
  /**
   * Requests that the store did not answer, including statuses and resets, by the code of the error, whatever was decided instead.
   * Codes that have not occurred are absent.
   */
  readonly storeErrors: Readonly<Record<string, number>>;
  /** Time from sending a batch to its answer, or to its deadline, in ms. Empty on the embedded store. */
  readonly storeLatencyMs: Histogram;
  /** Requests in a batch, 1 to 64. Empty on the embedded store. */
  readonly batchSize: Histogram;
  readonly breaker: {
    /** `half-open`: probes test whether the store is back. For several limiters of the name, the worst state. */
    readonly state: 'closed' | 'half-open' | 'open';
    /** How often it has opened. */
    readonly openings: number;
  };
  /** The state that `onStoreStateChange` reports, over all limiters of the name. Never away on the embedded store. */
  readonly store: {
    /** Whether it is away now for a limiter of the name: a breaker is open, on a cluster that of any shard. */
    readonly away: boolean;
    /** How often it has gone away. */
    readonly outages: number;
    /** How long it was away in total, in ms, the present outage included. */
    readonly awayMs: number;
  };
  /** Connections to Redis of the whole process, over all threads. */
  readonly connections: {
    /** In use now. */
    readonly open: number;
    /** Made so far. */
    readonly opened: number;
    /** Those that replaced a lost one. */
    readonly reconnects: number;
    /** Attempts that failed. */
    readonly failed: number;
  };
}

/**
 * What the creators' limiter has counted, as a new plain object. Takes some tens of microseconds. All zero before the first check.
 *
 * @example
 * const { denials, breaker } = getMetrics();
 */
export declare function getMetrics(): Metrics;

/**
 * Every limiter of the process as OpenMetrics text, version 1.0.0: serve it as
 * `application/openmetrics-text; version=1.0.0; charset=utf-8`. Every name begins with `rate_limit_`; times are in seconds.
 * The only labels are `limiter`, `decision` (`allowed` or `denied`), `source`, `code`, `le` and `rate_limit_breaker_state`, which
 * holds the state of the breaker: OpenMetrics requires the metric's name for it. Metrics of connections have no label, because
 * they belong to the process.
 *
 * @example
 * const type = 'application/openmetrics-text; version=1.0.0; charset=utf-8';
 * export const GET = () => new Response(prometheusMetrics(), { headers: { 'Content-Type': type } });
 */
export declare function prometheusMetrics(): string;

/**
 * One line of CloudWatch Embedded Metric Format for the creators' limiter: print it, and CloudWatch Logs makes metrics of
 * it. The namespace is `Huntaze/AI`, without dimensions: `RateLimitExceeded` (denials), `AnomalyDetected`,
 * `DegradedDecisions`, `StoreOutages` (each a count since the last call), `StoreAwayTime` (ms since the last call) and
 * `RedisLatency` (ms, the distribution since the last call in up to 100 values; absent if nothing was sent to Redis). The first
 * call counts from the first check.
 *
 * Each of the 100 values is the mean of a hundredth of the batches, ordered by latency. So in CloudWatch the average and the
 * percentiles up to p99 are those of the buckets, the maximum is the mean of the slowest hundredth, and the sample count is the
 * number of values.
 *
 * @example
 * setInterval(() => console.log(cloudWatchMetrics()), 60_000).unref();
 */
export declare function cloudWatchMetrics(): string;

/** The methods of an OpenTelemetry `Meter` that are used; one of `@opentelemetry/api` 1.3 or later fits. */
export interface OpenTelemetryMeter {
  createObservableCounter(name: string, options?: { description?: string; unit?: string }): unknown;
  createObservableGauge(name: string, options?: { description?: string; unit?: string }): unknown;
  addBatchObservableCallback(callback: (result: any) => void, observables: any[]): void;
  removeBatchObservableCallback(callback: (result: any) => void, observables: any[]): void;
}

/**
 * Registers the metrics of every limiter of the process as observables of `meter`, which reads them when it collects. Names are
 * those of {@link prometheusMetrics} with a dot (`rate_limit.checks`), attributes the same, except `state` of
 * `rate_limit.breaker_state`. OpenTelemetry has no observable histogram, so each histogram is three counters: `.bucket` (cumulative,
 * by `le`), `.count` and `.sum`. Returns a function that removes the observables.
 *
 * @throws TypeError if `meter` is not a `Meter`.
 * @example
 * const stop = observeMetrics(metrics.getMeter('@huntaze/rate-limit'));
 */
export declare function observeMetrics(meter: OpenTelemetryMeter): () => void;

/** One of the creators nearest to their quota. */
export interface TopCreator {
  /** The id as it was given: escape it before you log it. */
  readonly creatorId: string;
  /** The plan of the creator's last request. */
  readonly plan?: CreatorPlan;
  readonly limit: number;
  /** Requests that count now, over all processes: 1 to `limit`. */
  readonly used: number;
  /** Requests left: 0 to `limit`. */
  readonly remaining: number;
  /** As in RateLimitStatus: Unix ms. */
  readonly reset: number;
  /** Recent requests of the creator in this process, denied ones included: an estimate. */
  readonly requests: number;
  /** The source of `used`. `'local'` while Redis is away: then it counts the admissions of this process alone. */
  readonly source: 'redis' | 'memory' | 'local';
}

/**
 * The creators nearest to their quota, the nearest first. The candidates are the creators with the most requests for their limit
 * in this process since the limiter was opened. It keeps at most 256 (Metwally, Agrawal, El Abbadi: "Efficient computation of
 * frequent and top-k elements in data streams", 2005). Beyond 256 checks a second it counts samples and the checks near a quota,
 * and beyond 4,096 of the latter samples alone. The store is then asked how much each has used, as by `getRateLimitStatus`;
 * creators that have used nothing are omitted. While Redis is away, `onStoreError: 'local'` lists the admissions of this process,
 * and `'open'` and `'closed'` list none.
 *
 * Rejects with a TypeError (`ERR_INVALID_ARG_TYPE`) or RangeError (`ERR_OUT_OF_RANGE`) for another `count`, and with the store's
 * error under `onStoreError: 'throw'`.
 *
 * @param count How many to list: 1 to 64. Default: 10.
 * @example
 * for (const { creatorId, used, limit } of await topCreators(5)) console.log(creatorId, `${used} of ${limit}`);
 */
export declare function topCreators(count?: number): Promise<TopCreator[]>;
