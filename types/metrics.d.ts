// What a process has counted since its first check. No label and no field names a creator, but in topCreators().

import type { CreatorPlan, Decision } from '../index.js';

/** A distribution: how many observations fell into each bucket. */
export interface Histogram {
  /** Upper bounds, included, in rising order; the last is `Infinity`. */
  readonly bounds: readonly number[];
  /** Observations of each bucket alone, not cumulated; as many as `bounds`. */
  readonly counts: readonly number[];
  /** Of all observations, in the unit of the bounds. */
  readonly sum: number;
  readonly count: number;
}

/**
 * What all limiters of one name in this process have counted, over all threads: whole numbers that never go back, but for
 * the gauges `inFlight`, `breaker.state`, `store.away` and `connections.open`. `close()` does not reset them. A process counts 256 names
 * apart: where there are more, the figures of limiters that are closed are forgotten, and if all are open, the further ones
 * are counted together, in the texts under the name `*`. Those of the creators are always their own.
 */
export interface Metrics {
  /** The limiter's name; `'creator'` for the creators'. */
  readonly limiter: string;
  /** Requests for a slot that were answered: allowed + denied + failed. Those in flight are not in it yet. */
  readonly checks: number;
  /** By who decided. */
  readonly allowed: Readonly<Record<Decision['source'], number>>;
  /** By who decided; `denied['deny-cache']` are the hits of the denied cache. */
  readonly denied: Readonly<Record<Decision['source'], number>>;
  /** Checks that rejected because the store reached no decision (`onStoreError: 'throw'`). */
  readonly failed: number;
  /** Of all sources. */
  readonly denials: number;
  /** Decisions made without the store, because it was away: of `local`, `open` and `closed`. */
  readonly degraded: number;
  readonly anomalies: number;
  /** Requests in flight now: checks, statuses and resets. */
  readonly inFlight: number;
  /**
   * Requests that the store did not answer, statuses and resets among them, by the code of the error, whatever was decided
   * instead. Codes with none are absent.
   */
  readonly storeErrors: Readonly<Record<string, number>>;
  /** Time from the sending of a batch to its answer, or until it was given up, in ms. Empty on the embedded store. */
  readonly storeLatencyMs: Histogram;
  /** Requests in a batch, 1 to 64. Empty on the embedded store. */
  readonly batchSize: Histogram;
  readonly breaker: {
    /** `half-open`: probes ask whether the store is back. Of several limiters of the name, the worst. */
    readonly state: 'closed' | 'half-open' | 'open';
    /** How often it has opened. */
    readonly openings: number;
  };
  /** The store as `onStoreStateChange` tells of it, over all limiters of the name. Never away on the embedded store. */
  readonly store: {
    /** Whether it is away now for a limiter of the name: a breaker is open, of a cluster that of any shard. */
    readonly away: boolean;
    /** How often it has gone away. */
    readonly outages: number;
    /** How long it was away in all, in ms, the present outage included. */
    readonly awayMs: number;
  };
  /** Connections to Redis of the whole process, which its limiters share. */
  readonly connections: {
    /** In use now. */
    readonly open: number;
    /** Made so far. */
    readonly opened: number;
    /** Those of them that replaced one that was lost. */
    readonly reconnects: number;
    /** Attempts that failed. */
    readonly failed: number;
  };
}

/**
 * What the creators' limiter has counted. A plain object of its own, taken in some tens of microseconds.
 *
 * @example
 * const { denials, breaker } = getMetrics();
 */
export declare function getMetrics(): Metrics;

/**
 * Every limiter of the process as OpenMetrics text, version 1.0.0: serve it as
 * `application/openmetrics-text; version=1.0.0; charset=utf-8`. Every name begins with `rate_limit_`; times are in seconds.
 * The only labels are `limiter`, `decision` (`allowed` or `denied`), `source`, `code`, `le` and `rate_limit_breaker_state`,
 * by which a series of the breaker says its state: OpenMetrics has it named like the metric. Connections have none: they are
 * the process's.
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
 * `RedisLatency` (ms, the distribution since the last call in up to 100 values; left out where nothing was asked). The first
 * call counts from the first check.
 *
 * Each of the 100 values is the mean of a hundredth of the batches, in the order of their length: in CloudWatch the average
 * and the percentiles up to p99 are those of the buckets, the maximum is the mean of the slowest hundredth, and the sample
 * count is that of the values.
 *
 * @example
 * setInterval(() => console.log(cloudWatchMetrics()), 60_000).unref();
 */
export declare function cloudWatchMetrics(): string;

/** What of an OpenTelemetry `Meter` is used: that of `@opentelemetry/api` 1.3 or later fits. */
export interface OpenTelemetryMeter {
  createObservableCounter(name: string, options?: { description?: string; unit?: string }): unknown;
  createObservableGauge(name: string, options?: { description?: string; unit?: string }): unknown;
  addBatchObservableCallback(callback: (result: any) => void, observables: any[]): void;
  removeBatchObservableCallback(callback: (result: any) => void, observables: any[]): void;
}

/**
 * Registers the metrics of every limiter of the process as observables of `meter`; they are read when it collects. Names are
 * those of {@link prometheusMetrics} with a dot (`rate_limit.checks`), attributes the same, but for `state` of
 * `rate_limit.breaker_state`. OpenTelemetry observes no histograms: there are three counters instead, `.bucket` (cumulated,
 * by `le`), `.count` and `.sum`. Returns what takes them back.
 *
 * @throws TypeError for anything but a `Meter`.
 * @example
 * const stop = observeMetrics(metrics.getMeter('@huntaze/rate-limit'));
 */
export declare function observeMetrics(meter: OpenTelemetryMeter): () => void;

/** Where one of the creators stands who ask most. */
export interface TopCreator {
  /** The id as it was given: escape it before you log it. */
  readonly creatorId: string;
  /** The plan of their last request. */
  readonly plan?: CreatorPlan;
  readonly limit: number;
  /** Requests that count now, over all processes: 0 to `limit`. */
  readonly used: number;
  readonly remaining: number;
  /** As in RateLimitStatus. */
  readonly reset: number;
  /** Requests this process has seen of them lately, denied ones included: an estimate. */
  readonly requests: number;
  /** Who says so: `'local'` while Redis is away, and then it is this process's own admissions. */
  readonly source: 'redis' | 'memory' | 'local';
}

/**
 * The creators nearest to their quota, the nearest first. The candidates are those whom this process has seen ask most for
 * their limit since the limiter was opened: it keeps 256 of them at most (Metwally, Agrawal, El Abbadi: "Efficient
 * computation of frequent and top-k elements in data streams", 2005), beyond 256 checks a second by samples and by what
 * comes near a quota, and beyond 4,096 of those by samples alone. Where they stand is asked of the store, as by
 * `getRateLimitStatus`; who has used nothing is left out.
 * While Redis is away, `onStoreError: 'local'` lists what this process has admitted itself, `'open'` and `'closed'` nobody.
 *
 * @param count 1 to 64; 10 when left out. Rejects with a TypeError (`ERR_INVALID_ARG_TYPE`) or RangeError
 * (`ERR_OUT_OF_RANGE`) otherwise, and with the store's error under `onStoreError: 'throw'`.
 * @example
 * for (const { creatorId, used, limit } of await topCreators(5)) console.log(creatorId, `${used} of ${limit}`);
 */
export declare function topCreators(count?: number): Promise<TopCreator[]>;
