'use strict';

/** @import { Metrics } from '../../index.d.ts' */
/** @import { Family, Kinds, Labels } from './families.js' */

const { cumulativeBuckets, families, familyValues } = require('./families.js');
const { allMetrics } = require('./snapshot.js');

/** The metrics of all limiters of the process as OpenMetrics text. */
function prometheusMetrics() {
  return openMetricsText(allMetrics());
}

/**
 * Snapshots as OpenMetrics text, version 1.0.0.
 *
 * @param {Metrics[]} snapshots
 */
function openMetricsText(snapshots) {
  const lines = families.flatMap((family) => familyLines(family, snapshots));
  return [...lines, '# EOF', ''].join('\n');
}

/**
 * @template {keyof Kinds} K
 * @param {Family<K>} family
 * @param {Metrics[]} snapshots
 */
function familyLines(family, snapshots) {
  const name = nameOf(family);
  return [
    ...metadata(name, family),
    ...familyValues(family, snapshots).flatMap(({ labels, value }) =>
      WRITERS[family.kind](name, labels, value, family),
    ),
  ];
}

/**
 * A unit is part of the name. OpenMetrics has none for counts of things.
 *
 * @param {{ name: string, unit?: string }} family
 */
function nameOf({ name, unit }) {
  return `rate_limit_${name}${unit === 's' ? '_seconds' : ''}`;
}

/** @type {(name: string, family: { kind: string, unit?: string, help: string }) => string[]} */
function metadata(name, { kind, unit, help }) {
  return [
    `# TYPE ${name} ${kind}`,
    ...(unit === 's' ? [`# UNIT ${name} seconds`] : []),
    `# HELP ${name} ${escaped(help)}`,
  ];
}

/** @type {{ [K in keyof Kinds]: (name: string, labels: Labels, value: Kinds[K], family: Family<K>) => string[] }} */
const WRITERS = {
  counter: (name, labels, value) => [sample(`${name}_total`, labels, value)],
  gauge: (name, labels, value) => [sample(name, labels, value)],
  histogram: (name, labels, value) => [
    ...cumulativeBuckets(value).map(({ le, count }) => sample(`${name}_bucket`, { ...labels, le }, count)),
    sample(`${name}_count`, labels, value.count),
    sample(`${name}_sum`, labels, value.sum),
  ],
  // The format requires the label of a state to have the name of its metric.
  stateset: (name, labels, value, { states }) =>
    states.map((state) => sample(name, { ...labels, [name]: state }, state === value ? 1 : 0)),
};

/** @type {(name: string, labels: Labels, value: number) => string} */
function sample(name, labels, value) {
  const written = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`);
  return `${name}${written.length > 0 ? `{${written.join(',')}}` : ''} ${value}`;
}

/** @param {string} text */
function escaped(text) {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"');
}

module.exports = { prometheusMetrics, openMetricsText };
