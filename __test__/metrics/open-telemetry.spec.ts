import { MeterProvider, MetricReader, type MetricData } from '@opentelemetry/sdk-metrics';
import { observeMetrics, type Metrics, type OpenTelemetryMeter } from '@huntaze/rate-limit';
import { idle, snapshot } from '../support/metrics-sample';

const { observe } = require('../../lib/metrics/open-telemetry.js') as {
  observe(meter: OpenTelemetryMeter, read: () => Metrics[]): () => void;
};
const { openMetricsText } = require('../../lib/metrics/prometheus.js') as {
  openMetricsText(snapshots: Metrics[]): string;
};

/** A metric reader that collects on demand. */
class Reader extends MetricReader {
  protected override async onForceFlush() {}
  protected override async onShutdown() {}

  async metrics(): Promise<MetricData[]> {
    const { resourceMetrics, errors } = await this.collect();
    expect(errors).toEqual([]);
    return resourceMetrics.scopeMetrics.flatMap(({ metrics }) => metrics);
  }
}

let reader: Reader;
let provider: MeterProvider;
let read: jest.Mock<Metrics[], []>;
let stop: () => void;

beforeEach(() => {
  reader = new Reader();
  provider = new MeterProvider({ readers: [reader] });
  read = jest.fn(() => [snapshot, idle]);
  stop = observe(provider.getMeter('test'), read);
});
afterEach(() => provider.shutdown());

/** The data points of a metric, with their attributes. */
function points(metrics: MetricData[], name: string): [object, unknown][] {
  const metric = metrics.find(({ descriptor }) => descriptor.name === name);
  return (metric?.dataPoints ?? []).map(({ attributes, value }) => [attributes, value]);
}

test('every metric has a name, a unit and a description', async () => {
  const exported = (await reader.metrics()).map(({ descriptor: { name, unit } }) => [name, unit]);
  expect(exported).toEqual([
    ['rate_limit.checks', '{check}'],
    ['rate_limit.checks_failed', '{check}'],
    ['rate_limit.anomalies', '{anomaly}'],
    ['rate_limit.degraded_decisions', '{decision}'],
    ['rate_limit.checks_in_flight', '{check}'],
    ['rate_limit.store_errors', '{error}'],
    ['rate_limit.store_latency.bucket', '{batch}'],
    ['rate_limit.store_latency.count', '{batch}'],
    ['rate_limit.store_latency.sum', 's'],
    ['rate_limit.batch_size.bucket', '{batch}'],
    ['rate_limit.batch_size.count', '{batch}'],
    ['rate_limit.batch_size.sum', '{request}'],
    ['rate_limit.breaker_state', '1'],
    ['rate_limit.breaker_openings', '{opening}'],
    ['rate_limit.store_away', '1'],
    ['rate_limit.store_outages', '{outage}'],
    ['rate_limit.store_away_time', 's'],
    ['rate_limit.redis_connections', '{connection}'],
    ['rate_limit.redis_connections_opened', '{connection}'],
    ['rate_limit.redis_reconnects', '{connection}'],
    ['rate_limit.redis_connect_failures', '{attempt}'],
  ]);
  for (const { descriptor } of await reader.metrics()) expect(descriptor.description).toMatch(/\.$/);
});

test('the values are those of the snapshots', async () => {
  const metrics = await reader.metrics();
  const checks = points(metrics, 'rate_limit.checks');
  expect(checks).toHaveLength(24);
  expect(checks).toContainEqual([{ limiter: 'creator', decision: 'denied', source: 'deny-cache' }, 5]);
  expect(points(metrics, 'rate_limit.checks_in_flight')).toEqual([
    [{ limiter: 'creator' }, 6],
    [{ limiter: 'idle' }, 0],
  ]);
  expect(points(metrics, 'rate_limit.store_errors')).toEqual([
    [{ limiter: 'creator', code: 'ETIMEDOUT' }, 9],
    [{ limiter: 'creator', code: 'LOADING' }, 1],
  ]);
  expect(points(metrics, 'rate_limit.breaker_state').filter(([, value]) => value === 1)).toEqual([
    [{ limiter: 'creator', state: 'half-open' }, 1],
    [{ limiter: 'idle', state: 'closed' }, 1],
  ]);
  expect(points(metrics, 'rate_limit.redis_connections')).toEqual([[{}, 2]]);
  expect(points(metrics, 'rate_limit.redis_connect_failures')).toEqual([[{}, 11]]);
});

test('a distribution is three counters, with cumulative buckets in seconds', async () => {
  const metrics = await reader.metrics();
  const buckets = points(metrics, 'rate_limit.store_latency.bucket');
  expect(buckets.slice(0, 6)).toEqual(
    [
      ['5e-05', 1],
      ['0.0003', 31],
      ['0.001', 71],
      ['0.0025', 91],
      ['1.0', 99],
      ['+Inf', 100],
    ].map(([le, count]) => [{ limiter: 'creator', le }, count]),
  );
  expect(points(metrics, 'rate_limit.store_latency.count')[0]).toEqual([{ limiter: 'creator' }, 100]);
  expect(points(metrics, 'rate_limit.store_latency.sum')[0]).toEqual([{ limiter: 'creator' }, 1.2345]);
});

test('a bucket label equals that of Prometheus, as servers compare the text', async () => {
  const metrics = await reader.metrics();
  const text = openMetricsText([snapshot, idle]);
  for (const [name, series] of [
    ['rate_limit.store_latency.bucket', 'rate_limit_store_latency_seconds_bucket'],
    ['rate_limit.batch_size.bucket', 'rate_limit_batch_size_bucket'],
  ] as const) {
    const exported = points(metrics, name).map(([attributes]) => (attributes as { le: string }).le);
    expect(exported).toEqual([...text.matchAll(new RegExp(`^${series}\\{.*le="([^"]*)"`, 'gm'))].map(([, le]) => le));
    expect(exported).toContain('+Inf');
  }
});

test('each collection reads the counters once', async () => {
  await reader.metrics();
  expect(read).toHaveBeenCalledTimes(1);
  read.mockReturnValue([{ ...snapshot, anomalies: 9 }]);
  expect(points(await reader.metrics(), 'rate_limit.anomalies')).toContainEqual([{ limiter: 'creator' }, 9]);
  expect(read).toHaveBeenCalledTimes(2);
});

test('the returned function unregisters the metrics', async () => {
  await reader.metrics();
  stop();
  read.mockReturnValue([{ ...snapshot, anomalies: 9 }]);
  // The SDK continues to export the last value.
  expect(points(await reader.metrics(), 'rate_limit.anomalies')).toContainEqual([{ limiter: 'creator' }, 2]);
  expect(read).toHaveBeenCalledTimes(1);
});

test('a meter of the real API fits the type, and any other object is refused', () => {
  const taken: OpenTelemetryMeter = provider.getMeter('real');
  expect(observeMetrics(taken)).toBeInstanceOf(Function);
  const refused = (meter: unknown) => () => observeMetrics(meter as OpenTelemetryMeter);
  expect(refused(undefined)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }));
  expect(refused({})).toThrow(/^meter\.createObservableCounter must be a function/);
  expect(refused({ ...taken, addBatchObservableCallback: 1 })).toThrow('must be a function');
});
