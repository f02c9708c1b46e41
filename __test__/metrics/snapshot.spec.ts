import {
  RateLimiter,
  cloudWatchMetrics,
  getMetrics,
  prometheusMetrics,
  type Metrics,
  type OpenTelemetryMeter,
  observeMetrics,
} from '@huntaze/rate-limit';
import { counted, snapshot } from '../support/metrics-sample';

// From the counters of the native module to the public functions.

const metrics = jest.fn();
jest.mock('../../lib/native.js', () => {
  const { binding, constants } = jest.requireActual('../../lib/native.js');
  const metricsOf = (name: string) =>
    metrics().find(({ limiter }: { limiter: string }) => limiter === name) ?? binding.metricsOf(name);
  // In the form in which the binary caches it.
  let reported: unknown[] = [];
  const metricsDelta = (name: string) => {
    const before = reported;
    reported = [metricsOf(name)];
    return [...before, ...reported];
  };
  return { binding: { ...binding, metrics: () => metrics(), metricsOf, metricsDelta }, constants };
});

const other = { ...counted, limiter: 'uploads', failed: 0, breaker: 2 };
beforeEach(() => metrics.mockReturnValue([other, counted]));

test('of the creators', () => {
  expect(getMetrics()).toStrictEqual(snapshot);
});

test('of one limiter, by its name', () => {
  const limiter = new RateLimiter({ name: 'uploads', limit: 1, windowMs: 1000 });
  const expected: Metrics = {
    ...snapshot,
    limiter: 'uploads',
    failed: 0,
    checks: 138,
    breaker: { state: 'open', openings: 3 },
  };
  expect(limiter.getMetrics()).toStrictEqual(expected);
});

test('all zero before the first check', () => {
  const zero = new RateLimiter({ name: 'idle', limit: 1, windowMs: 1000 }).getMetrics();
  expect(zero).toMatchObject({ limiter: 'idle', checks: 0, denials: 0, failed: 0, storeErrors: {} });
  for (const { bounds, counts, count, sum } of [zero.storeLatencyMs, zero.batchSize]) {
    expect(counts).toEqual(bounds.map(() => 0));
    expect([count, sum, bounds.at(-1)]).toEqual([0, 0, Infinity]);
  }
});

test('a new object each time: changing one changes no other', () => {
  const mine = getMetrics() as unknown as { storeLatencyMs: { counts: number[] }; allowed: { redis: number } };
  mine.storeLatencyMs.counts[0] = -1;
  mine.allowed.redis = -1;
  expect(getMetrics()).toStrictEqual(snapshot);
});

test('the text for Prometheus has every limiter', () => {
  const text = prometheusMetrics();
  for (const limiter of ['creator', 'uploads']) {
    expect(text).toContain(`rate_limit_checks_total{limiter="${limiter}",decision="allowed",source="redis"} 100\n`);
  }
});

test('the line for CloudWatch has the creators alone, with the observations since the previous line', () => {
  const first = JSON.parse(cloudWatchMetrics());
  expect(first).toMatchObject({ RateLimitExceeded: 28, AnomalyDetected: 2, DegradedDecisions: 13 });
  expect(first.RedisLatency).toHaveLength(100);
  expect(Math.abs(first._aws.Timestamp - Date.now())).toBeLessThan(60_000);
  metrics.mockReturnValue([{ ...counted, denied: [21, 0, 5, 2, 0, 1], latencyCounts: [1, 30, 40, 20, 9, 1] }]);
  const second = JSON.parse(cloudWatchMetrics());
  expect(second).toMatchObject({ RateLimitExceeded: 1, AnomalyDetected: 0, DegradedDecisions: 0 });
  expect(second.RedisLatency).toHaveLength(1);
});

test('OpenTelemetry reads it at collection', () => {
  let collect!: (result: unknown) => void;
  const observe = jest.fn();
  const meter: OpenTelemetryMeter = {
    createObservableCounter: (name) => name,
    createObservableGauge: (name) => name,
    addBatchObservableCallback: (callback) => (collect = callback),
    removeBatchObservableCallback: () => {},
  };
  observeMetrics(meter);
  metrics.mockClear();
  collect({ observe });
  expect(metrics).toHaveBeenCalledTimes(1);
  expect(observe).toHaveBeenCalledWith('rate_limit.anomalies', 2, { limiter: 'creator' });
  expect(observe).toHaveBeenCalledWith('rate_limit.anomalies', 2, { limiter: 'uploads' });
});
