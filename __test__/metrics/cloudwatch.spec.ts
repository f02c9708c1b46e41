import fc from 'fast-check';
import type { Metrics } from '@huntaze/rate-limit';
import { idle, snapshot } from '../support/metrics-sample';

const { embeddedMetricLine } = require('../../lib/metrics/cloudwatch.js') as {
  embeddedMetricLine(snapshot: Metrics, previous: Metrics | undefined, now: number): string;
};

const NOW = 1_800_000_000_000;
const BOUNDS = [0.1, 0.5, 1, 5, 25, 100, Infinity];

/** A snapshot with this number of observations in each bucket. */
function observed(...counts: number[]): Metrics {
  const all = BOUNDS.map((_, i) => counts[i] ?? 0);
  const count = all.reduce((a, b) => a + b, 0);
  return { ...idle, storeLatencyMs: { bounds: BOUNDS, counts: all, sum: 0, count } };
}

const latencies = (now: Metrics, before?: Metrics): number[] =>
  JSON.parse(embeddedMetricLine(now, before, NOW)).RedisLatency;
const mean = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0) / numbers.length;

test('one line of Embedded Metric Format', () => {
  const line = embeddedMetricLine(snapshot, undefined, NOW);
  expect(line).not.toContain('\n');
  expect(JSON.parse(line)).toEqual({
    _aws: {
      Timestamp: NOW,
      CloudWatchMetrics: [
        {
          Namespace: 'Huntaze/AI',
          Dimensions: [[]],
          Metrics: [
            { Name: 'RateLimitExceeded', Unit: 'Count' },
            { Name: 'AnomalyDetected', Unit: 'Count' },
            { Name: 'DegradedDecisions', Unit: 'Count' },
            { Name: 'StoreOutages', Unit: 'Count' },
            { Name: 'StoreAwayTime', Unit: 'Milliseconds' },
            { Name: 'RedisLatency', Unit: 'Milliseconds' },
          ],
        },
      ],
    },
    RateLimitExceeded: 28,
    AnomalyDetected: 2,
    DegradedDecisions: 13,
    StoreOutages: 2,
    StoreAwayTime: 61_500,
    RedisLatency: expect.any(Array),
  });
});

test('a line has the observations since the previous line', () => {
  const later: Metrics = {
    ...snapshot,
    denials: 31,
    anomalies: 2,
    degraded: 20,
    store: { away: false, outages: 3, awayMs: 62_750 },
    storeLatencyMs: { ...snapshot.storeLatencyMs, counts: [1, 30, 42, 20, 8, 1], count: 102 },
  };
  expect(JSON.parse(embeddedMetricLine(later, snapshot, NOW))).toMatchObject({
    RateLimitExceeded: 3,
    AnomalyDetected: 0,
    DegradedDecisions: 7,
    StoreOutages: 1,
    StoreAwayTime: 1250,
    RedisLatency: [0.475, 0.825],
  });
});

test('without requests there is no latency, and no metric without a value', () => {
  const line = JSON.parse(embeddedMetricLine(snapshot, snapshot, NOW));
  expect(line).not.toHaveProperty('RedisLatency');
  const names = line._aws.CloudWatchMetrics[0].Metrics.map(({ Name }: { Name: string }) => Name);
  expect(names).toEqual(['RateLimitExceeded', 'AnomalyDetected', 'DegradedDecisions', 'StoreOutages', 'StoreAwayTime']);
  for (const name of names) expect(line[name]).toBe(0);
});

test('for a new limiter, all observations are new', () => {
  expect(latencies(snapshot, idle)).toHaveLength(100);
});

test('few observations are one number each, spread over their bucket', () => {
  expect(latencies(observed(1))).toEqual([0.05]);
  expect(latencies(observed(0, 2, 1))).toEqual([0.2, 0.4, 0.75]);
  expect(latencies(observed(0, 0, 0, 0, 0, 0, 3))).toEqual([100, 100, 100]);
});

const anyCounts = fc
  .array(fc.nat(1_000_000), { minLength: 1, maxLength: BOUNDS.length })
  .filter((counts) => counts.some(Boolean));

test('never more than a hundred numbers, in ascending order', () => {
  fc.assert(
    fc.property(anyCounts, (counts) => {
      const numbers = latencies(observed(...counts));
      expect(numbers).toHaveLength(
        Math.min(
          100,
          counts.reduce((a, b) => a + b, 0),
        ),
      );
      expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
    }),
  );
});

test('each percentile lies in the bucket in which it was observed', () => {
  fc.assert(
    fc.property(anyCounts, fc.integer({ min: 1, max: 100 }), (counts, percent) => {
      const numbers = latencies(observed(...counts));
      const total = counts.reduce((a, b) => a + b, 0);
      /** The bucket of the observation with this rank. */
      const bucketAt = (rank: number) => {
        let seen = 0;
        return counts.findIndex((count) => (seen += count) >= rank);
      };
      const rank = Math.ceil((percent / 100) * numbers.length);
      const [first, last] = [rank - 1, rank].map((i) => (i / numbers.length) * total) as [number, number];
      const lower = BOUNDS[bucketAt(Math.floor(first) + 1) - 1] ?? 0;
      const upper = BOUNDS[bucketAt(Math.ceil(last))]!;
      expect(numbers[rank - 1]).toBeGreaterThanOrEqual(lower - 0.001);
      expect(numbers[rank - 1]).toBeLessThanOrEqual(upper + 0.001);
    }),
  );
});

test('the average matches the buckets', () => {
  fc.assert(
    fc.property(anyCounts, (counts) => {
      const middles = BOUNDS.map((bound, i) => {
        const lower = BOUNDS[i - 1] ?? 0;
        return bound === Infinity ? lower : (lower + bound) / 2;
      });
      const total = counts.reduce((a, b) => a + b, 0);
      const average = counts.reduce((sum, count, i) => sum + count * middles[i]!, 0) / total;
      expect(Math.abs(mean(latencies(observed(...counts))) - average)).toBeLessThan(0.001);
    }),
  );
});

test('a rare outlier is visible, and does not count as a hundredth of all', () => {
  const numbers = latencies(observed(9999, 0, 0, 0, 0, 1));
  // One observation of about 62 ms is in the slowest hundred of ten thousand.
  expect(numbers.at(-1)).toBeCloseTo(0.0995 * 0.99 + 62.5 / 100, 2);
  expect(numbers.at(-2)).toBeLessThan(0.1);
});
