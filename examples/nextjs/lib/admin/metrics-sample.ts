// Computes one sample of the page from two readings of the counters: pure functions, without a clock or the addon.

import type { Metrics } from '@huntaze/rate-limit';
import type { Sample, Totals } from './dashboard-data';
import { countsSince, quantile } from './quantile';

/** The counters of the package, and when they were read. */
export interface MetricsReading {
  /** Unix ms, for display. */
  readonly at: number;
  /** Monotonic ms, for divisions: the wall clock may jump. */
  readonly tick: number;
  readonly metrics: Metrics;
}

export function sampleBetween(before: MetricsReading, now: MetricsReading): Sample {
  const seconds = Math.max((now.tick - before.tick) / 1000, 0.001);
  const rate = (of: (metrics: Metrics) => number) =>
    round(Math.max(of(now.metrics) - of(before.metrics), 0) / seconds, 10);
  const { bounds } = now.metrics.storeLatencyMs;
  const counts = countsSince(before.metrics.storeLatencyMs, now.metrics.storeLatencyMs);
  const latency = (q: number) => {
    const value = quantile(bounds, counts, q);
    return value === null ? null : round(value, 1000);
  };
  return {
    t: now.at,
    allowed: rate(({ allowed }) => sum(allowed)),
    denied: rate(({ denials }) => denials),
    degraded: rate(({ degraded }) => degraded),
    failed: rate(({ failed }) => failed),
    cacheHits: rate(({ denied }) => denied['deny-cache']),
    p50: latency(0.5),
    p95: latency(0.95),
    p99: latency(0.99),
  };
}

export function totalsOf(metrics: Metrics): Totals {
  const { checks, denials, degraded, failed, anomalies, inFlight, storeErrors, breaker, connections } = metrics;
  const cacheHits = metrics.denied['deny-cache'];
  return { checks, denials, degraded, failed, cacheHits, anomalies, inFlight, storeErrors, breaker, connections };
}

function sum(record: Readonly<Record<string, number>>): number {
  return Object.values(record).reduce((total, n) => total + n, 0);
}

// Rounded to less than a pixel of the chart, for short JSON: a new page gets 900 samples.
function round(value: number, steps: number): number {
  return Math.round(value * steps) / steps;
}
