import type { Metrics } from '@huntaze/rate-limit';
import { parse } from '../support/open-metrics';
import { idle, snapshot } from '../support/metrics-sample';

const { openMetricsText } = require('../../lib/metrics/prometheus.js') as {
  openMetricsText(snapshots: Metrics[]): string;
};

const text = openMetricsText([snapshot, idle]);

test('is valid OpenMetrics', () => {
  const families = parse(text);
  expect(families.map(({ name, type }) => [name, type])).toEqual([
    ['rate_limit_checks', 'counter'],
    ['rate_limit_checks_failed', 'counter'],
    ['rate_limit_anomalies', 'counter'],
    ['rate_limit_degraded_decisions', 'counter'],
    ['rate_limit_checks_in_flight', 'gauge'],
    ['rate_limit_store_errors', 'counter'],
    ['rate_limit_store_latency_seconds', 'histogram'],
    ['rate_limit_batch_size', 'histogram'],
    ['rate_limit_breaker_state', 'stateset'],
    ['rate_limit_breaker_openings', 'counter'],
    ['rate_limit_store_away', 'gauge'],
    ['rate_limit_store_outages', 'counter'],
    ['rate_limit_store_away_time_seconds', 'counter'],
    ['rate_limit_redis_connections', 'gauge'],
    ['rate_limit_redis_connections_opened', 'counter'],
    ['rate_limit_redis_reconnects', 'counter'],
    ['rate_limit_redis_connect_failures', 'counter'],
  ]);
  for (const { help } of families) expect(help).toMatch(/^[A-Z].{10,}\.$/);
});

test('before the first check there is no sample, but a valid text', () => {
  expect(parse(openMetricsText([])).flatMap(({ samples }) => samples)).toEqual([]);
});

/** The samples of a limiter in a family, as written, without the limiter label. */
function samples(family: string, limiter = 'creator'): string[] {
  const own = new RegExp(`^${family}(?:_total|_bucket|_count|_sum)?\\{limiter="${limiter}",?(.*)$`);
  return text.split('\n').flatMap((line) => own.exec(line)?.[1] ?? []);
}

test('checks by decision and source', () => {
  expect(samples('rate_limit_checks')).toEqual([
    ...['redis"} 100', 'memory"} 0', 'deny-cache"} 0', 'local"} 7', 'open"} 3', 'closed"} 0'].map(
      (rest) => `decision="allowed",source="${rest}`,
    ),
    ...['redis"} 20', 'memory"} 0', 'deny-cache"} 5', 'local"} 2', 'open"} 0', 'closed"} 1'].map(
      (rest) => `decision="denied",source="${rest}`,
    ),
  ]);
});

test('latency in seconds, with cumulative buckets', () => {
  expect(samples('rate_limit_store_latency_seconds')).toEqual([
    'le="5e-05"} 1',
    'le="0.0003"} 31',
    'le="0.001"} 71',
    'le="0.0025"} 91',
    'le="1.0"} 99',
    'le="+Inf"} 100',
    '} 100',
    '} 1.2345',
  ]);
  expect(text).toContain('# UNIT rate_limit_store_latency_seconds seconds\n');
  expect(text).toContain(
    '# HELP rate_limit_store_latency_seconds Time from the sending of a batch to its answer, or until it was given up.\n',
  );
});

test('bounds in seconds have no rounding error', () => {
  const bounds = Array.from({ length: 2000 }, (_, i) => (i + 1) / 10);
  const storeLatencyMs = { bounds: [...bounds, Infinity], counts: [...bounds.map(() => 0), 0], sum: 0, count: 0 };
  const written = openMetricsText([{ ...snapshot, storeLatencyMs }]).match(/(?<=latency.*le=")[^"]*/g)!;
  expect(written).toHaveLength(2001);
  for (const le of written) expect(le).toMatch(/^(?:0\.\d{1,4}|\+Inf)$/);
});

test('batches', () => {
  const buckets = ['le="1.0"} 60', 'le="8.0"} 90', 'le="64.0"} 100', 'le="+Inf"} 100'];
  expect(samples('rate_limit_batch_size')).toEqual([...buckets, '} 100', '} 500']);
  expect(samples('rate_limit_batch_size', 'idle')).toEqual(['le="+Inf"} 0', '} 0', '} 0']);
});

test('large bounds are in the canonical OpenMetrics form', () => {
  const batchSize = {
    bounds: [0, 100_000, 1_000_000, 2.5e6, 1e21, Infinity],
    counts: [0, 0, 0, 0, 0, 0],
    sum: 0,
    count: 0,
  };
  const written = openMetricsText([{ ...snapshot, batchSize }]).match(/(?<=batch_size.*le=")[^"]*/g);
  expect(written).toEqual(['0.0', '100000.0', '1e+06', '2.5e+06', '1e+21', '+Inf']);
});

test('one series for each state of the breaker, and one of them is 1', () => {
  const states = (limiter: string) => samples('rate_limit_breaker_state', limiter);
  const written = (of: Record<string, number>) =>
    Object.entries(of).map(([state, value]) => `rate_limit_breaker_state="${state}"} ${value}`);
  expect(states('creator')).toEqual(written({ closed: 0, 'half-open': 1, open: 0 }));
  expect(states('idle')).toEqual(written({ closed: 1, 'half-open': 0, open: 0 }));
});

test('the other values', () => {
  for (const line of [
    'rate_limit_checks_failed_total{limiter="creator"} 4',
    'rate_limit_anomalies_total{limiter="creator"} 2',
    'rate_limit_degraded_decisions_total{limiter="creator"} 13',
    'rate_limit_checks_in_flight{limiter="creator"} 6',
    'rate_limit_store_errors_total{limiter="creator",code="ETIMEDOUT"} 9',
    'rate_limit_store_errors_total{limiter="creator",code="LOADING"} 1',
    'rate_limit_breaker_openings_total{limiter="creator"} 3',
    'rate_limit_store_away{limiter="creator"} 1',
    'rate_limit_store_outages_total{limiter="creator"} 2',
    'rate_limit_store_away_time_seconds_total{limiter="creator"} 61.5',
    'rate_limit_anomalies_total{limiter="idle"} 0',
  ]) {
    expect(text).toContain(`\n${line}\n`);
  }
});

test('connections belong to the process: one sample without a limiter', () => {
  expect(text.split('\n').filter((line) => line.startsWith('rate_limit_redis'))).toEqual([
    'rate_limit_redis_connections 2',
    'rate_limit_redis_connections_opened_total 5',
    'rate_limit_redis_reconnects_total 3',
    'rate_limit_redis_connect_failures_total 11',
  ]);
});

test('only documented labels', () => {
  const labels = parse(text).flatMap(({ samples }) => samples.flatMap((sample) => Object.keys(sample.labels)));
  expect([...new Set(labels)].sort()).toEqual(
    ['limiter', 'decision', 'source', 'code', 'le', 'rate_limit_breaker_state'].sort(),
  );
});

test('a label value cannot forge a line', () => {
  const code = 'A"} 1\nforged{x="\\';
  const families = parse(openMetricsText([{ ...snapshot, storeErrors: { [code]: 5 } }]));
  const { samples } = families.find(({ name }) => name === 'rate_limit_store_errors')!;
  expect(samples).toEqual([{ name: 'rate_limit_store_errors_total', labels: { limiter: 'creator', code }, value: 5 }]);
});
