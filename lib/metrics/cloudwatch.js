'use strict';

/** @import { Histogram, Metrics } from '../../index.d.ts' */

const { creatorMetricsDelta } = require('../creators.js');

const NAMESPACE = 'Huntaze/AI';

/** The most values of one metric that CloudWatch accepts in one line. */
const MAX_VALUES = 100;

/** The counts of the creators' limiter since the last call, as one line of Embedded Metric Format. */
function cloudWatchMetrics() {
  const { before, now } = creatorMetricsDelta();
  return embeddedMetricLine(now, before, Date.now());
}

/**
 * The difference of two snapshots as one line. Without a previous snapshot: all counts.
 *
 * @param {Metrics} snapshot
 * @param {Metrics | undefined} previous
 * @param {number} now
 */
function embeddedMetricLine(snapshot, previous, now) {
  /** @type {[name: string, unit: string, value: number | number[]][]} */
  const counted = [
    ['RateLimitExceeded', 'Count', snapshot.denials - (previous?.denials ?? 0)],
    ['AnomalyDetected', 'Count', snapshot.anomalies - (previous?.anomalies ?? 0)],
    ['DegradedDecisions', 'Count', snapshot.degraded - (previous?.degraded ?? 0)],
    ['StoreOutages', 'Count', snapshot.store.outages - (previous?.store.outages ?? 0)],
    ['StoreAwayTime', 'Milliseconds', snapshot.store.awayMs - (previous?.store.awayMs ?? 0)],
    ['RedisLatency', 'Milliseconds', latencies(since(snapshot.storeLatencyMs, previous?.storeLatencyMs))],
  ];
  const values = counted.filter(([, , value]) => typeof value === 'number' || value.length > 0);
  return JSON.stringify({
    _aws: {
      Timestamp: now,
      CloudWatchMetrics: [
        {
          Namespace: NAMESPACE,
          // One empty set: a metric without dimensions. Some readers ignore a metric with an empty list of sets.
          Dimensions: [[]],
          Metrics: values.map(([Name, Unit]) => ({ Name, Unit })),
        },
      ],
    },
    ...Object.fromEntries(values.map(([name, , value]) => [name, value])),
  });
}

/**
 * The observations of each bucket since `earlier`. A limiter without observations has one empty bucket.
 *
 * @param {Histogram} now
 * @param {Histogram | undefined} earlier
 */
function since({ bounds, counts }, earlier) {
  return { bounds, counts: counts.map((count, i) => count - (earlier?.counts[i] ?? 0)) };
}

/**
 * A distribution as at most a hundred numbers, from which CloudWatch computes its statistics. The observations are
 * sorted and divided into a hundred equal shares; each number is the mean of a share. The percentiles up to p99 and
 * the average are those of the buckets, since no outlier counts more than once. If there are at most
 * a hundred observations, each number is one of them.
 *
 * The observations of a bucket are assumed to be evenly spaced, as in Prometheus. Those of the last bucket, which has
 * no upper bound, are assumed to be at its lower bound.
 *
 * @param {Pick<Histogram, 'bounds' | 'counts'>} distribution
 */
function latencies({ bounds, counts }) {
  const total = counts.reduce((all, count) => all + count, 0);
  const shares = Math.min(total, MAX_VALUES);
  // An observation weighs `shares`, so that a share weighs `total`: integers, without rounding errors.
  const weights = counts.map((count) => count * shares);
  /** @type {number[]} */
  const numbers = [];
  let bucket = 0;
  let used = 0;
  while (numbers.length < shares) {
    let sum = 0;
    for (let missing = total; missing > 0;) {
      while (used === weights[bucket]) [bucket, used] = [bucket + 1, 0];
      const part = Math.min(missing, weights[bucket] - used);
      sum += part * at(bounds, bucket, (used + part / 2) / weights[bucket]);
      missing -= part;
      used += part;
    }
    numbers.push(microseconds(sum / total));
  }
  return numbers;
}

/**
 * The value at `fraction` of a bucket's width.
 *
 * @param {readonly number[]} bounds
 * @param {number} bucket
 * @param {number} fraction
 */
function at(bounds, bucket, fraction) {
  const lower = bounds[bucket - 1] ?? 0;
  const upper = bounds[bucket] === Infinity ? lower : bounds[bucket];
  return lower + (upper - lower) * fraction;
}

/**
 * Milliseconds, rounded to the microsecond: more digits are noise, and CloudWatch charges by the byte.
 *
 * @param {number} ms
 */
function microseconds(ms) {
  return Math.round(ms * 1000) / 1000;
}

module.exports = { cloudWatchMetrics, embeddedMetricLine };
