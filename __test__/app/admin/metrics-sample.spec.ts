// The page's samples, computed from two readings of the counters.

import type { Metrics } from '@huntaze/rate-limit';
import { quantile } from '../../../examples/nextjs/lib/admin/quantile';
import { sampleBetween } from '../../../examples/nextjs/lib/admin/metrics-sample';
import { storeKind } from '../../../examples/nextjs/lib/admin/store-kind';
import { idle } from '../../support/metrics-sample';

const sources = (of: Partial<Metrics['allowed']>) => ({ ...idle.allowed, ...of });

function metrics(of: Partial<Metrics> = {}): Metrics {
  const empty = { bounds: [1, 2, 4, Infinity], counts: [0, 0, 0, 0], sum: 0, count: 0 };
  return {
    ...idle,
    limiter: 'creator',
    storeLatencyMs: empty,
    batchSize: empty,
    connections: { open: 0, opened: 0, reconnects: 0, failed: 0 },
    ...of,
  };
}

test('a quantile lies inside its bucket, and in the last one at its lower bound', () => {
  expect(quantile([1, 2, 4, Infinity], [0, 10, 0, 0], 0.5)).toBe(1.5);
  expect(quantile([1, 2, 4, Infinity], [5, 5, 0, 0], 0.5)).toBe(1);
  expect(quantile([1, 2, 4, Infinity], [1, 0, 0, 9], 0.99)).toBe(4);
  expect(quantile([1, 2], [0, 0], 0.5)).toBeNull();
});

test('rates are new counts divided by the elapsed time', () => {
  const before = metrics({ allowed: sources({ redis: 100 }), denials: 7 });
  const after = metrics({
    allowed: sources({ redis: 110, local: 10 }),
    denied: sources({ 'deny-cache': 4 }),
    denials: 17,
    degraded: 10,
    storeLatencyMs: { bounds: [1, 2, 4, Infinity], counts: [0, 4, 0, 0], sum: 6, count: 4 },
  });
  const sample = sampleBetween({ at: 0, tick: 0, metrics: before }, { at: 2000, tick: 2000, metrics: after });
  expect(sample).toEqual({
    t: 2000,
    allowed: 10,
    denied: 5,
    degraded: 5,
    failed: 0,
    cacheHits: 2,
    p50: 1.5,
    p95: 1.95,
    p99: 1.99,
  });
});

test('latency covers the last second, not the whole past', () => {
  const histogram = (counts: number[]) => ({ bounds: [1, 2, 4, Infinity], counts, sum: 0, count: 0 });
  const before = metrics({ storeLatencyMs: histogram([1000, 0, 0, 0]) });
  const after = metrics({ storeLatencyMs: histogram([1000, 0, 2, 0]) });
  const sample = sampleBetween({ at: 0, tick: 0, metrics: before }, { at: 1000, tick: 1000, metrics: after });
  expect(sample.p50).toBe(3);
});

test('the store comes from past decisions, and before the first from the environment', () => {
  expect(storeKind(metrics(), {} as NodeJS.ProcessEnv)).toBe('embedded');
  expect(storeKind(metrics(), { REDIS_URL: 'redis://cache' } as unknown as NodeJS.ProcessEnv)).toBe('redis');
  expect(storeKind(metrics({ allowed: sources({ redis: 1 }) }), {} as NodeJS.ProcessEnv)).toBe('redis');
  expect(
    storeKind(metrics({ connections: { open: 0, opened: 0, reconnects: 0, failed: 3 } }), {} as NodeJS.ProcessEnv),
  ).toBe('redis');
});
