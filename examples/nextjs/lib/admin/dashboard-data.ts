// The data that the server sends to the page. Of the package it imports types alone, so that the page never loads the
// addon.

import type { CreatorPlan, Metrics, StoreStateChange, TopCreator } from '@huntaze/rate-limit';

/** One second of this process: rates are per second, times are Unix ms and ms. */
export interface Sample {
  readonly t: number;
  readonly allowed: number;
  readonly denied: number;
  /** Allowed and denied requests that were decided without the store. */
  readonly degraded: number;
  /** Rejected without a decision. */
  readonly failed: number;
  /** Denied requests that the deny cache answered. */
  readonly cacheHits: number;
  /** Quantiles of the round trip to Redis; null without a request. */
  readonly p50: number | null;
  readonly p95: number | null;
  readonly p99: number | null;
}

/** The counters since the start of the process, and the current values of the gauges. */
export interface Totals {
  readonly checks: number;
  readonly denials: number;
  readonly degraded: number;
  readonly failed: number;
  readonly cacheHits: number;
  readonly anomalies: number;
  readonly inFlight: number;
  readonly storeErrors: Metrics['storeErrors'];
  readonly breaker: Metrics['breaker'];
  readonly connections: Metrics['connections'];
}

export interface ProcessInfo {
  readonly pid: number;
  readonly since: number;
  readonly store: 'redis' | 'embedded';
  /** Open streams to pages like this one. */
  readonly openStreams: number;
}

export interface AnomalyEntry {
  /** Increases by one with each anomaly of the process. */
  readonly number: number;
  readonly creatorId: string;
  readonly plan?: CreatorPlan;
  readonly requestsIn5Min: number;
  readonly threshold: number;
  readonly timestamp: string;
}

/** The store has become unavailable, or is back. */
export interface StoreStateEntry extends StoreStateChange {
  /** Increases by one with each change of the process. */
  readonly number: number;
  /** When this process noticed it, in Unix ms. */
  readonly at: number;
}

/** The creators nearest to their quota. */
export interface TopCreatorsSnapshot {
  /** When the store was queried, in Unix ms. */
  readonly at: number;
  readonly creators: readonly TopCreator[];
  /** Why the store could not be queried since. */
  readonly error?: string;
}

/** The events of the stream, by name. */
export interface StreamEvents {
  /** The first event of every stream. */
  history: {
    processInfo: ProcessInfo;
    samples: readonly Sample[];
    totals: Totals;
    anomalies: readonly AnomalyEntry[];
    storeChanges: readonly StoreStateEntry[];
    topCreators: TopCreatorsSnapshot | null;
  };
  sample: { processInfo: ProcessInfo; sample: Sample; totals: Totals };
  anomaly: AnomalyEntry;
  'store-state': StoreStateEntry;
  'top-creators': TopCreatorsSnapshot;
}

/** The response of a look-up. */
export interface Quota {
  readonly creatorId: string;
  readonly plan: CreatorPlan;
  readonly limit: number;
  readonly used: number;
  readonly remaining: number;
  /** Until the window is empty, in ms, by the server's clock. */
  readonly resetsInMs: number;
}

export const HISTORY_SECONDS = 15 * 60;
export const PLANS: readonly CreatorPlan[] = ['starter', 'pro', 'business'];
