'use strict';

/** @import { Metrics, OpenTelemetryMeter } from '../../index.d.ts' */
/** @import { Family, Kinds, Labels } from './families.js' */

const { callable } = require('../validate.js');
const { wrongType } = require('../errors.js');
const { cumulativeBuckets, families, familyValues } = require('./families.js');
const { allMetrics } = require('./snapshot.js');

/** @type {(keyof OpenTelemetryMeter)[]} */
const METHODS = [
  'createObservableCounter',
  'createObservableGauge',
  'addBatchObservableCallback',
  'removeBatchObservableCallback',
];

/**
 * Registers the metrics of all limiters of the process with `meter`. Returns an unregister function.
 *
 * @param {OpenTelemetryMeter} meter
 */
function observeMetrics(meter) {
  return observe(meter, allMetrics);
}

/**
 * As {@link observeMetrics}, for the snapshots that `read` returns.
 *
 * @param {OpenTelemetryMeter} meter
 * @param {() => Metrics[]} read
 */
function observe(meter, read) {
  if (meter === null || typeof meter !== 'object') throw wrongType('meter', 'an OpenTelemetry Meter', meter);
  for (const method of METHODS) callable(`meter.${method}`, meter[method]);
  const entries = families.map((family) => observerOf(meter, family));
  const observables = entries.flatMap((entry) => entry.observables);
  // One callback for all families, so that they are read at the same time.
  const callback = (/** @type {Result} */ result) => {
    const snapshots = read();
    for (const { observeAll } of entries) observeAll(result, snapshots);
  };
  meter.addBatchObservableCallback(callback, observables);
  return () => meter.removeBatchObservableCallback(callback, observables);
}

/**
 * The part of OpenTelemetry's `BatchObservableResult` that is used.
 *
 * @typedef {{ observe(observable: unknown, value: number, attributes: Labels): void }} Result
 */

/**
 * @template {keyof Kinds} K
 * @typedef {object} Observer
 * @property {unknown[]} observables
 * @property {(result: Result, labels: Labels, value: Kinds[K]) => void} observe
 */

/**
 * @template {keyof Kinds} K
 * @param {OpenTelemetryMeter} meter
 * @param {Family<K>} family
 */
function observerOf(meter, family) {
  const { observables, observe } = OBSERVERS[family.kind](meter, family);
  return {
    observables,
    /** @type {(result: Result, snapshots: Metrics[]) => void} */
    observeAll(result, snapshots) {
      for (const { labels, value } of familyValues(family, snapshots)) observe(result, labels, value);
    },
  };
}

/** @type {{ [K in keyof Kinds]: (meter: OpenTelemetryMeter, family: Family<K>) => Observer<K> }} */
const OBSERVERS = {
  counter: (meter, { name, help, unit }) =>
    singleObserver(meter.createObservableCounter(nameOf(name), described(help, unit))),
  gauge: (meter, { name, help, unit }) =>
    singleObserver(meter.createObservableGauge(nameOf(name), described(help, unit))),

  // OpenTelemetry has no observable histogram: three counters instead, with the bounds of Prometheus.
  histogram(meter, { name, help, unit, counted }) {
    const [buckets, count, sum] = [
      meter.createObservableCounter(nameOf(`${name}.bucket`), described(`${help} Up to \`le\`.`, counted)),
      meter.createObservableCounter(nameOf(`${name}.count`), described(`${help} How many.`, counted)),
      meter.createObservableCounter(nameOf(`${name}.sum`), described(`${help} In all.`, unit)),
    ];
    return {
      observables: [buckets, count, sum],
      observe(result, labels, value) {
        for (const { le, count } of cumulativeBuckets(value)) result.observe(buckets, count, { ...labels, le });
        result.observe(count, value.count, labels);
        result.observe(sum, value.sum, labels);
      },
    };
  },

  stateset(meter, { name, help, states }) {
    const gauge = meter.createObservableGauge(nameOf(name), described(`${help} 1 for the state it is in.`, '1'));
    return {
      observables: [gauge],
      observe(result, labels, value) {
        for (const state of states) result.observe(gauge, state === value ? 1 : 0, { ...labels, state });
      },
    };
  },
};

/**
 * @param {unknown} observable
 * @returns {Observer<'counter' | 'gauge'>}
 */
function singleObserver(observable) {
  return { observables: [observable], observe: (result, labels, value) => result.observe(observable, value, labels) };
}

/** @param {string} name */
function nameOf(name) {
  return `rate_limit.${name}`;
}

/** @type {(description: string, unit: string) => { description: string, unit: string }} */
function described(description, unit) {
  return { description, unit };
}

module.exports = { observeMetrics, observe };
