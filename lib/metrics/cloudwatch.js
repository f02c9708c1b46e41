'use strict';

/** @import { Histogram, Metrics } from '../../index.d.ts' */

const { creatorMetricsDelta } = require('../creators.js');

const NAMESPACE = 'Huntaze/AI';

/** As many numbers as CloudWatch takes of one metric in one line. */
const MAX_VALUES = 100;

/** What the creators' limiter has counted since the last call, as one line of Embedded Metric Format. */
function cloudWatchMetrics() {
  const { before, now } = creatorMetricsDelta();
  return embeddedMetricLine(now, before, Date.now());
}

/**
 * The difference of two snapshots as one line; without a previous one, all that has been counted.
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
          // One empty set: the metric without dimensions. An empty list of sets is no metric at all to some readers.
          Dimensions: [[]],
          Metrics: values.map(([Name, Unit]) => ({ Name, Unit })),
        },
      ],
    },
    ...Object.fromEntries(values.map(([name, , value]) => [name, value])),
  });
}

/**
 * What has fallen into each bucket in between. A limiter that had not counted yet has one bucket, with nothing in it.
 *
 * @param {Histogram} now
 * @param {Histogram | undefined} earlier
 */
function since({ bounds, counts }, earlier) {
  return { bounds, counts: counts.map((count, i) => count - (earlier?.counts[i] ?? 0)) };
}

/**
 * A distribution as at most a hundred numbers, from which CloudWatch computes its statistics. In the order of their length
 * the observations are parted into a hundred equal shares, and each number is the mean of one: the percentiles up to p99
 * are those of the buckets, and the average is right, too, for no outlier counts more than once. Where there are no more
 * observations than numbers, each is one of them.
 *
 * Within a bucket the observations are taken to lie evenly, as by Prometheus; in the last, which has no end, at its
 * beginning.
 *
 * @param {Pick<Histogram, 'bounds' | 'counts'>} distribution
 */
function latencies({ bounds, counts }) {
  const total = counts.reduce((all, count) => all + count, 0);
  const shares = Math.min(total, MAX_VALUES);
  // An observation weighs `shares`, and so a share `total`: whole numbers, which leave no rest.
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
 * The point of a bucket that lies at `fraction` of its width.
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
 * Milliseconds, to the microsecond: further digits are noise that is paid for by the byte.
 *
 * @param {number} ms
 */
function microseconds(ms) {
  return Math.round(ms * 1000) / 1000;
}

module.exports = { cloudWatchMetrics, embeddedMetricLine };
