// Reads the counters once a second into a ring of 15 minutes, whether or not a page is open: an operator who opens the
// page after an incident wants to see it.

import { getMetrics } from '@huntaze/rate-limit';
import { listenForAnomalies } from './anomalies';
import { HISTORY_SECONDS, type ProcessFacts } from './dashboard-data';
import { observation, tellAll } from './process-state';
import { listenForOutages } from './outages';
import { type Reading, sampleBetween, totalsOf } from './metrics-sample';
import { askStanding } from './top-creators';
import { storeKind } from './store-kind';

/** The interval of queries for the creators' status while the store is unavailable. */
const AWAY_MS = 10_000;

/** Once in a process; further calls do nothing. */
export function startSampler(): void {
  if (observation.timer) return;
  // Unref'd: sampling keeps no process alive.
  observation.timer = setInterval(tick, 1000).unref();
  listenForAnomalies();
  listenForOutages();
  observation.reading = read();
}

export function factsOf({ metrics }: Reading): ProcessFacts {
  return {
    pid: process.pid,
    since: observation.since,
    store: storeKind(metrics),
    watching: observation.watchers.size,
  };
}

/** The latest reading: at most a second old. */
export function latestReading(): Reading {
  return (observation.reading ??= read());
}

function read(): Reading {
  return { at: Date.now(), tick: performance.now(), metrics: getMetrics() };
}

function tick(): void {
  const before = latestReading();
  const now = read();
  const sample = sampleBetween(before, now);
  observation.reading = now;
  observation.samples.push(sample);
  if (observation.samples.length > HISTORY_SECONDS) observation.samples.shift();
  tellAll('second', { facts: factsOf(now), sample, totals: totalsOf(now.metrics) });
  // The store is queried only while a page is open.
  if (observation.watchers.size > 0 && isDue(now)) void askStanding();
}

/**
 * While the store is unavailable each query without a reply counts as an error: the page must not cause the errors that
 * it shows.
 */
function isDue({ at, metrics }: Reading): boolean {
  return metrics.breaker.state === 'closed' || at - (observation.standing?.at ?? 0) >= AWAY_MS;
}
