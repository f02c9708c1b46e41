// A constructed snapshot of the native module: one limiter over Redis with every kind of event; and the expected
// Metrics.

import type { Metrics } from '@huntaze/rate-limit';

/** In the form of `binding.metrics()`; allowed and denied by the position in `constants.sources`. */
export const counted = {
  limiter: 'creator',
  allowed: [100, 0, 0, 7, 3, 0],
  denied: [20, 0, 5, 2, 0, 1],
  failed: 4,
  anomalies: 2,
  inFlight: 6,
  errorCodes: ['ETIMEDOUT', 'LOADING'],
  errorCounts: [9, 1],
  latencyBoundsMs: [0.05, 0.3, 1, 2.5, 1000],
  latencyCounts: [1, 30, 40, 20, 8, 1],
  latencySumMs: 1234.5,
  batchBounds: [1, 8, 64],
  batchCounts: [60, 30, 10, 0],
  batchSum: 500,
  breaker: 1 as 0 | 1 | 2,
  breakerOpenings: 3,
  storeAway: true,
  storeOutages: 2,
  storeAwayMs: 61_500,
  connectionsOpen: 2,
  connectionsOpened: 5,
  reconnects: 3,
  connectsFailed: 11,
};

/** The same as Metrics. */
export const snapshot: Metrics = {
  limiter: 'creator',
  checks: 142,
  allowed: { redis: 100, memory: 0, 'deny-cache': 0, local: 7, open: 3, closed: 0 },
  denied: { redis: 20, memory: 0, 'deny-cache': 5, local: 2, open: 0, closed: 1 },
  failed: 4,
  denials: 28,
  degraded: 13,
  anomalies: 2,
  inFlight: 6,
  storeErrors: { ETIMEDOUT: 9, LOADING: 1 },
  storeLatencyMs: {
    bounds: [0.05, 0.3, 1, 2.5, 1000, Infinity],
    counts: [1, 30, 40, 20, 8, 1],
    sum: 1234.5,
    count: 100,
  },
  batchSize: { bounds: [1, 8, 64, Infinity], counts: [60, 30, 10, 0], sum: 500, count: 100 },
  breaker: { state: 'half-open', openings: 3 },
  store: { away: true, outages: 2, awayMs: 61_500 },
  connections: { open: 2, opened: 5, reconnects: 3, failed: 11 },
};

/** A limiter without any count; the connections belong to the process. */
export const idle: Metrics = {
  ...snapshot,
  limiter: 'idle',
  checks: 0,
  allowed: { redis: 0, memory: 0, 'deny-cache': 0, local: 0, open: 0, closed: 0 },
  denied: { redis: 0, memory: 0, 'deny-cache': 0, local: 0, open: 0, closed: 0 },
  failed: 0,
  denials: 0,
  degraded: 0,
  anomalies: 0,
  inFlight: 0,
  storeErrors: {},
  storeLatencyMs: { bounds: [Infinity], counts: [0], sum: 0, count: 0 },
  batchSize: { bounds: [Infinity], counts: [0], sum: 0, count: 0 },
  breaker: { state: 'closed', openings: 0 },
  store: { away: false, outages: 0, awayMs: 0 },
};
