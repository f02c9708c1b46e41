// The exports of the addon, src/napi/*.rs. Written by hand for the type checker; not shipped.

import type { Decision, Metrics, RateLimiterOptions } from '../index.d.ts';

export interface Binding {
  constants(): Constants;
  escapeId(id: string): string;
  configProblem(redis: NativeRedisOptions | undefined, environment: Environment): string | null;
  metrics(): LimiterMetrics[];
  metricsOf(limiter: string): LimiterMetrics;
  metricsDelta(limiter: string): LimiterMetrics[];
  /** How many anomalies without a line to log now, and in how many ms to call again (0: not at all). */
  takeUnloggedAnomalies(): [count: number, waitMs: number];
  /** Returns one of `Constants.anomalyLogEntries`. */
  recordAnomaly(): number;
  CompletionBuffer: new (mailbox: Float64Array, wake: () => void) => CompletionBuffer;
  NativeLimiter: new (
    buffer: CompletionBuffer,
    number: number,
    options: NativeLimiterOptions,
    redis: NativeRedisOptions | undefined,
    environment: Environment,
  ) => NativeLimiter;
}

export interface Constants {
  readonly version: string;
  readonly sources: readonly Decision['source'][];
  readonly breakerStates: readonly Metrics['breaker']['state'][];
  readonly storeErrorPolicies: readonly NonNullable<RateLimiterOptions['onStoreError']>[];
  readonly variables: readonly string[];
  readonly maxLimit: number;
  readonly maxWindowMs: number;
  readonly maxIdBytes: number;
  readonly maxConnections: number;
  readonly minAnomalyFactor: number;
  readonly maxAnomalyFactor: number;
  /** The most requests in a batch. */
  readonly maxBatch: number;
  readonly operations: Numbers<'CHECK' | 'LIMIT' | 'STATUS' | 'RESET'>;
  readonly labelFactor: number;
  readonly submitResults: Numbers<'PENDING' | 'DECIDED' | 'DECIDED_AND_MORE' | 'REFUSED'>;
  readonly recordKinds: Numbers<
    | 'DECIDED'
    | 'FAILED'
    | 'ANOMALY'
    | 'PASSWORD'
    | 'TESTED'
    | 'UNLOGGED_ANOMALIES'
    | 'STORE_AWAY'
    | 'STORE_BACK'
    | 'STILL_AWAY'
  >;
  readonly recordFields: Numbers<
    'KIND' | 'RECIPIENT' | 'ALLOWED' | 'REMAINING' | 'RESET' | 'RESET_AFTER' | 'RETRY_AFTER' | 'SOURCE'
  >;
  readonly anomalyLogEntries: Numbers<'LOGGED' | 'FIRST' | 'COUNTED'>;
}

type Numbers<Name extends string> = { readonly [name in Name]: number };

export interface CompletionBuffer {
  drainer(): () => number;
  scheduleDrain(): void;
  takeText(): string[];
  answerPassword(request: number, password: string | undefined, reason: string | undefined): void;
}

export interface NativeLimiter {
  readonly isEmbedded: boolean;
  /** Host and port; empty for the embedded store. */
  readonly endpoint: readonly string[];
  submitter(): Submit;
  flush(slot: number): boolean;
  testConnection(slot: number, budgetMs: number): boolean;
  topCandidates(count: number): TopCandidate[];
  setHasListener(hasListener: boolean): void;
  /** Returns whether to log the outage now. */
  beginOutage(code: string, shard: string): boolean;
  endOutage(lastedMs: number, decided: number): [lastedMs: number, decided: number] | null;
  leaveOutage(): void;
  close(): void;
}

/** Returns one of `Constants.submitResults`. */
export type Submit = (kind: number, id: string, limit: number, slot: number) => number;

export interface NativeLimiterOptions {
  readonly name: string;
  readonly windowMs: number;
  readonly anomaly: { readonly factor: number; readonly windowMs: number } | undefined;
  readonly onStoreError: number;
  readonly timeoutMs: number;
  readonly denyCacheMs: number;
}

export interface NativeRedisOptions {
  /** None: Rust would also read the properties of a prototype. */
  readonly __proto__: null;
  readonly url?: string | undefined;
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  readonly username?: string | undefined;
  readonly passwords?: readonly string[];
  readonly passwordSource: boolean;
  readonly database?: number | undefined;
  readonly tls?: boolean | undefined;
  readonly ca?: string | undefined;
  readonly servername?: string | undefined;
  readonly cluster?: boolean | undefined;
  readonly connections?: number | undefined;
  readonly connectTimeoutMs?: number | undefined;
}

/** Names and values of environment variables. */
export type Environment = [name: string, value: string][];

export interface TopCandidate {
  readonly id: string;
  /** The label of its last sampled request. */
  readonly label: number;
  readonly limit: number;
  readonly requests: number;
}

export interface LimiterMetrics {
  readonly limiter: string;
  readonly allowed: readonly number[];
  readonly denied: readonly number[];
  readonly failed: number;
  readonly anomalies: number;
  readonly inFlight: number;
  readonly errorCodes: readonly string[];
  readonly errorCounts: readonly number[];
  readonly latencyBoundsMs: readonly number[];
  readonly latencyCounts: readonly number[];
  readonly latencySumMs: number;
  readonly batchBounds: readonly number[];
  readonly batchCounts: readonly number[];
  readonly batchSum: number;
  readonly breaker: number;
  readonly breakerOpenings: number;
  readonly storeAway: boolean;
  readonly storeOutages: number;
  readonly storeAwayMs: number;
  readonly connectionsOpen: number;
  readonly connectionsOpened: number;
  readonly reconnects: number;
  readonly connectsFailed: number;
}
