'use strict';

const { binding, constants } = require('../binding.js');

/** By the number that Rust gives. */
const BREAKER_STATES = ['closed', 'half-open', 'open'];

/** Decisions made without the store. */
const DEGRADED = ['local', 'open', 'closed'];

/** What every limiter of this process has counted: an array of Metrics, as types/metrics.d.ts has them. */
function allMetrics() {
  return binding.metrics().map(metricsFrom);
}

/** What the limiters of one name have counted; all zero where none has yet. */
function metricsOf(name) {
  const counted = binding.metrics();
  const own = counted.find(({ limiter }) => limiter === name);
  // The connections are the process's, whoever asks.
  return metricsFrom(own ?? { ...UNCOUNTED, ...connectionsOf(counted[0]), limiter: name });
}

function metricsFrom(counted) {
  const allowed = bySource(counted.allowed);
  const denied = bySource(counted.denied);
  const denials = sum(counted.denied);
  return {
    limiter: counted.limiter,
    checks: sum(counted.allowed) + denials + counted.failed,
    allowed,
    denied,
    failed: counted.failed,
    denials,
    degraded: sum(DEGRADED.map((source) => allowed[source] + denied[source])),
    anomalies: counted.anomalies,
    inFlight: counted.inFlight,
    storeErrors: Object.fromEntries(counted.errorCodes.map((code, i) => [code, counted.errorCounts[i]])),
    storeLatencyMs: histogram(counted.latencyBoundsMs, counted.latencyCounts, counted.latencySumMs),
    batchSize: histogram(counted.batchBounds, counted.batchCounts, counted.batchSum),
    breaker: { state: BREAKER_STATES[counted.breaker], openings: counted.breakerOpenings },
    connections: {
      open: counted.connectionsOpen,
      opened: counted.connectionsOpened,
      reconnects: counted.reconnects,
      failed: counted.connectsFailed,
    },
  };
}

function bySource(counts) {
  return Object.fromEntries(constants.sources.map((source, i) => [source, counts[i]]));
}

/** Rust leaves out the last bound: whatever is longer than the others falls into the last bucket. */
function histogram(bounds, counts, total) {
  return { bounds: [...bounds, Infinity], counts: [...counts], sum: total, count: sum(counts) };
}

function sum(counts) {
  return counts.reduce((all, one) => all + one, 0);
}

function connectionsOf({ connectionsOpen, connectionsOpened, reconnects, connectsFailed } = UNCOUNTED) {
  return { connectionsOpen, connectionsOpened, reconnects, connectsFailed };
}

/** As Rust would tell it of a limiter that has not been asked yet. */
const UNCOUNTED = {
  allowed: constants.sources.map(() => 0),
  denied: constants.sources.map(() => 0),
  failed: 0,
  anomalies: 0,
  inFlight: 0,
  errorCodes: [],
  errorCounts: [],
  latencyBoundsMs: [],
  latencyCounts: [0],
  latencySumMs: 0,
  batchBounds: [],
  batchCounts: [0],
  batchSum: 0,
  breaker: 0,
  breakerOpenings: 0,
  connectionsOpen: 0,
  connectionsOpened: 0,
  reconnects: 0,
  connectsFailed: 0,
};

module.exports = { allMetrics, metricsOf };
