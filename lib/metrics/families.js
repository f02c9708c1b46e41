'use strict';

/** @import { Histogram, Metrics } from '../../index.d.ts' */

const { constants } = require('../native.js');

/**
 * The type of a value, by the kind of its family.
 *
 * @typedef {{ counter: number, gauge: number, histogram: Histogram, stateset: string }} Kinds
 */

/**
 * The additional fields of a family, by its kind.
 *
 * @typedef {object} KindDetails
 * @property {{ unit: string }} counter
 * @property {{ unit: string }} gauge
 * @property {{ unit: string, counted: string }} histogram
 * @property {{ states: readonly string[] }} stateset
 */

/** @typedef {Record<string, string>} Labels */

/**
 * @template {keyof Kinds} K
 * @typedef {object} FamilyOf
 * @property {string} name
 * @property {K} kind
 * @property {string} help
 * @property {boolean} [processWide]
 * @property {(snapshot: Metrics) => { labels: Labels, value: Kinds[K] }[]} values
 */

/**
 * @template {keyof Kinds} [K=keyof Kinds]
 * @typedef {{ [P in K]: FamilyOf<P> & KindDetails[P] }[K]} Family
 */

/**
 * The metric families exported to Prometheus and OpenTelemetry. `values(snapshot)` returns samples with labels.
 * Families marked `processWide` are the same in all snapshots and are exported once, not once per limiter. `unit` is a
 * unit of UCUM, as in OpenTelemetry, with counted things in braces; `counted` is the unit of a histogram's counts.
 *
 * @type {Family[]}
 */
const families = [
  {
    name: 'checks',
    kind: 'counter',
    unit: '{check}',
    help: 'Checks that were decided, by the decision and by who made it.',
    values: (snapshot) =>
      /** @type {const} */ (['allowed', 'denied']).flatMap((decision) =>
        Object.entries(snapshot[decision]).map(([source, value]) => ({
          labels: { limiter: snapshot.limiter, decision, source },
          value,
        })),
      ),
  },
  {
    name: 'checks_failed',
    kind: 'counter',
    unit: '{check}',
    help: 'Checks that were rejected because the store reached no decision.',
    values: (snapshot) => [limiterValue(snapshot, snapshot.failed)],
  },
  {
    name: 'anomalies',
    kind: 'counter',
    unit: '{anomaly}',
    help: 'Ids that asked for more than they should.',
    values: (snapshot) => [limiterValue(snapshot, snapshot.anomalies)],
  },
  {
    name: 'degraded_decisions',
    kind: 'counter',
    unit: '{decision}',
    help: 'Decisions made without the store, because it was away.',
    values: (snapshot) => [limiterValue(snapshot, snapshot.degraded)],
  },
  {
    name: 'checks_in_flight',
    kind: 'gauge',
    unit: '{check}',
    help: 'Checks that wait for their answer now.',
    values: (snapshot) => [limiterValue(snapshot, snapshot.inFlight)],
  },
  {
    name: 'store_errors',
    kind: 'counter',
    unit: '{error}',
    help: 'Requests that the store did not answer, by the code of the error.',
    values: (snapshot) =>
      Object.entries(snapshot.storeErrors).map(([code, value]) => ({
        labels: { limiter: snapshot.limiter, code },
        value,
      })),
  },
  {
    name: 'store_latency',
    kind: 'histogram',
    unit: 's',
    counted: '{batch}',
    help: 'Time from the sending of a batch to its answer, or until it was given up.',
    values: (snapshot) => [limiterValue(snapshot, inSeconds(snapshot.storeLatencyMs))],
  },
  {
    name: 'batch_size',
    kind: 'histogram',
    unit: '{request}',
    counted: '{batch}',
    help: 'Requests sent to the store in one batch.',
    values: (snapshot) => [limiterValue(snapshot, snapshot.batchSize)],
  },
  {
    name: 'breaker_state',
    kind: 'stateset',
    states: constants.breakerStates,
    help: 'Whether the store is asked; of several limiters of the name, the worst.',
    values: (snapshot) => [limiterValue(snapshot, snapshot.breaker.state)],
  },
  {
    name: 'breaker_openings',
    kind: 'counter',
    unit: '{opening}',
    help: 'How often the breaker has opened.',
    values: (snapshot) => [limiterValue(snapshot, snapshot.breaker.openings)],
  },
  {
    name: 'store_away',
    kind: 'gauge',
    unit: '1',
    help: 'Whether the store is away for a limiter of the name: 1 or 0.',
    values: (snapshot) => [limiterValue(snapshot, snapshot.store.away ? 1 : 0)],
  },
  {
    name: 'store_outages',
    kind: 'counter',
    unit: '{outage}',
    help: 'How often the store has gone away.',
    values: (snapshot) => [limiterValue(snapshot, snapshot.store.outages)],
  },
  {
    name: 'store_away_time',
    kind: 'counter',
    unit: 's',
    help: 'Time for which the store was away, the present outage included.',
    values: (snapshot) => [limiterValue(snapshot, secondsOf(snapshot.store.awayMs))],
  },
  {
    name: 'redis_connections',
    kind: 'gauge',
    unit: '{connection}',
    help: 'Connections to Redis in use now, of the whole process.',
    processWide: true,
    values: ({ connections }) => [{ labels: {}, value: connections.open }],
  },
  {
    name: 'redis_connections_opened',
    kind: 'counter',
    unit: '{connection}',
    help: 'Connections to Redis made so far, of the whole process.',
    processWide: true,
    values: ({ connections }) => [{ labels: {}, value: connections.opened }],
  },
  {
    name: 'redis_reconnects',
    kind: 'counter',
    unit: '{connection}',
    help: 'Connections to Redis that replaced one that was lost, of the whole process.',
    processWide: true,
    values: ({ connections }) => [{ labels: {}, value: connections.reconnects }],
  },
  {
    name: 'redis_connect_failures',
    kind: 'counter',
    unit: '{attempt}',
    help: 'Attempts to connect to Redis that failed, of the whole process.',
    processWide: true,
    values: ({ connections }) => [{ labels: {}, value: connections.failed }],
  },
];

/**
 * The samples of a family in all snapshots.
 *
 * @template {keyof Kinds} K
 * @param {Family<K>} family
 * @param {Metrics[]} snapshots
 */
function familyValues(family, snapshots) {
  return (family.processWide ? snapshots.slice(0, 1) : snapshots).flatMap(family.values);
}

/**
 * Cumulative buckets, as both formats require: each counts all observations up to its bound `le`.
 *
 * @param {Histogram} histogram
 */
function cumulativeBuckets({ bounds, counts }) {
  let count = 0;
  return bounds.map((bound, i) => ({ le: canonical(bound), count: (count += counts[i]) }));
}

/**
 * A bound in the canonical form of OpenMetrics ("Considerations: Canonical Numbers"). Servers compare labels as text:
 * '1' in another version, or through OpenTelemetry, would be a different bucket from '1.0'.
 *
 * @param {number} bound
 */
function canonical(bound) {
  if (bound === Infinity) return '+Inf';
  if (bound !== 0 && (bound < 1e-4 || bound >= 1e6)) return bound.toExponential().replace(/e([+-])(\d)$/, 'e$10$2');
  return Number.isInteger(bound) ? `${bound}.0` : `${bound}`;
}

/**
 * @template V
 * @param {Metrics} snapshot
 * @param {V} value
 */
function limiterValue({ limiter }, value) {
  return { labels: { limiter }, value };
}

/**
 * @param {Histogram} ms
 * @returns {Histogram}
 */
function inSeconds({ bounds, counts, sum, count }) {
  return { bounds: bounds.map(secondsOf), counts, sum: secondsOf(sum), count };
}

/**
 * Rounded to 15 digits, without the error of the division: 0.3 ms are 0.0003 s.
 *
 * @param {number} ms
 */
function secondsOf(ms) {
  return Number((ms / 1000).toPrecision(15));
}

module.exports = { families, familyValues, cumulativeBuckets };
