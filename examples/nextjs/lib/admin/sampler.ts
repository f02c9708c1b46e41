// Reads the counters once a second into a ring of 15 minutes, whether or not somebody watches: who opens the page after an
// incident wants to see the incident.

import { getMetrics } from '@huntaze/rate-limit';
import { listenForAnomalies } from './anomalies';
import { HISTORY_SECONDS, type ProcessFacts } from './figures';
import { observation, tellAll } from './observation';
import { listenForOutages } from './outages';
import { type Reading, sampleBetween, totalsOf } from './sample';
import { askStanding } from './standing';
import { storeKind } from './store-kind';

/** How often it is asked where creators stand while it is away. */
const AWAY_MS = 10_000;

/** Once a process; again is nothing. */
export function startSampler(): void {
  if (observation.timer) return;
  // Unref'd: looking on keeps no process alive.
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
  // The store is asked for somebody's sake alone.
  if (observation.watchers.size > 0 && isDue(now)) void askStanding();
}

/** While the store is away its every silence is counted as an error: the page must not make the figures that it shows. */
function isDue({ at, metrics }: Reading): boolean {
  return metrics.breaker.state === 'closed' || at - (observation.standing?.at ?? 0) >= AWAY_MS;
}
