// Reads the counters once a second into a ring of 15 minutes, whether or not a page is open: an operator who opens the
// page after an incident wants to see it.

import { getMetrics } from '@huntaze/rate-limit';
import { listenForAnomalies } from './anomalies';
import { HISTORY_SECONDS, type ProcessInfo } from './dashboard-data';
import { processState, broadcast } from './process-state';
import { listenForOutages } from './outages';
import { type MetricsReading, sampleBetween, totalsOf } from './metrics-sample';
import { refreshTopCreators } from './top-creators';
import { storeKind } from './store-kind';

/** The interval of queries for the creators' status while the store is unavailable. */
const UNAVAILABLE_INTERVAL_MS = 10_000;

/** Starts sampling once in a process; further calls do nothing. */
export function startSampler(): void {
  if (processState.timer) return;
  // unref(), so that sampling does not keep the process alive.
  processState.timer = setInterval(tick, 1000).unref();
  listenForAnomalies();
  listenForOutages();
  processState.reading = read();
}

export function processInfoOf({ metrics }: MetricsReading): ProcessInfo {
  return {
    pid: process.pid,
    since: processState.since,
    store: storeKind(metrics),
    openStreams: processState.clients.size,
  };
}

/** The latest reading: at most a second old. */
export function latestReading(): MetricsReading {
  return (processState.reading ??= read());
}

function read(): MetricsReading {
  return { at: Date.now(), tick: performance.now(), metrics: getMetrics() };
}

function tick(): void {
  const before = latestReading();
  const now = read();
  const sample = sampleBetween(before, now);
  processState.reading = now;
  processState.samples.push(sample);
  if (processState.samples.length > HISTORY_SECONDS) processState.samples.shift();
  broadcast('sample', { processInfo: processInfoOf(now), sample, totals: totalsOf(now.metrics) });
  // The store is queried only while a page is open.
  if (processState.clients.size > 0 && isDue(now)) void refreshTopCreators();
}

/**
 * While the store is unavailable each query without a reply counts as an error: the page must not cause the errors that
 * it shows.
 */
function isDue({ at, metrics }: MetricsReading): boolean {
  return metrics.breaker.state === 'closed' || at - (processState.topCreators?.at ?? 0) >= UNAVAILABLE_INTERVAL_MS;
}
