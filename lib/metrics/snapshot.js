'use strict';

/** @import { Decision, Metrics } from '../../index.d.ts' */
/** @import { LimiterMetrics } from '../addon.d.ts' */

const { binding, constants } = require('../native.js');

/**
 * Decisions made without the store.
 *
 * @type {Decision['source'][]}
 */
const DEGRADED = ['local', 'open', 'closed'];

/** The metrics of all limiters of this process. */
function allMetrics() {
  return binding.metrics().map(metricsFrom);
}

/**
 * The metrics of the limiters of one name. All zero if there are none yet.
 *
 * @param {string} name
 */
function metricsOf(name) {
  return metricsFrom(binding.metricsOf(name));
}

/**
 * The metrics of the limiters of one name at the previous call in this process (undefined at the first) and now. Rust
 * keeps the previous ones: copies of this module and worker threads together report each change once.
 *
 * @param {string} name
 */
function metricsDelta(name) {
  const readings = binding.metricsDelta(name).map(metricsFrom);
  return { now: /** @type {Metrics} */ (readings.pop()), before: readings.pop() };
}

/**
 * @param {LimiterMetrics} counted
 * @returns {Metrics}
 */
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
    breaker: { state: constants.breakerStates[counted.breaker], openings: counted.breakerOpenings },
    store: { away: counted.storeAway, outages: counted.storeOutages, awayMs: counted.storeAwayMs },
    connections: {
      open: counted.connectionsOpen,
      opened: counted.connectionsOpened,
      reconnects: counted.reconnects,
      failed: counted.connectsFailed,
    },
  };
}

/**
 * @param {readonly number[]} counts
 * @returns {Metrics['allowed']}
 */
function bySource(counts) {
  const entries = Object.fromEntries(constants.sources.map((source, i) => [source, counts[i]]));
  return /** @type {Metrics['allowed']} */ (entries);
}

/**
 * Rust omits the last bound, Infinity: the last bucket counts all observations above the others.
 *
 * @param {readonly number[]} bounds
 * @param {readonly number[]} counts
 * @param {number} total
 */
function histogram(bounds, counts, total) {
  return { bounds: [...bounds, Infinity], counts: [...counts], sum: total, count: sum(counts) };
}

/** @param {readonly number[]} counts */
function sum(counts) {
  return counts.reduce((all, one) => all + one, 0);
}

module.exports = { allMetrics, metricsOf, metricsDelta };
