import { createServer, type AddressInfo } from 'node:net';
import { Worker } from 'node:worker_threads';
import {
  RateLimiter,
  checkCreatorRateLimit,
  close,
  getMetrics,
  prometheusMetrics,
  type Decision,
  type Metrics,
} from '@huntaze/rate-limit';
import { freePort } from '../support/redis';
import { freshId, stores } from '../support/stores';
import { HANG_MS, expectMedian, within } from '../support/time';

// Every check is counted once, by its source: the metrics match the callers' observations.

const sum = (counts: Readonly<Record<string, number>>) => Object.values(counts).reduce((a, b) => a + b, 0);

/** The callers' observations, in the form of the metrics. */
class Seen {
  readonly allowed: Partial<Record<Decision['source'], number>> = {};
  readonly denied: Partial<Record<Decision['source'], number>> = {};
  failed = 0;

  async ask(limiter: RateLimiter, id: string): Promise<void> {
    try {
      const { allowed, source } = await limiter.limit(id);
      const counts = allowed ? this.allowed : this.denied;
      counts[source] = (counts[source] ?? 0) + 1;
    } catch {
      this.failed++;
    }
  }

  agrees({ allowed, denied, failed, checks, denials }: Metrics): void {
    const some = (counts: Readonly<Record<string, number>>) =>
      Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));
    expect({ allowed: some(allowed), denied: some(denied), failed }).toEqual({
      allowed: this.allowed,
      denied: this.denied,
      failed: this.failed,
    });
    expect(checks).toBe(sum(allowed) + sum(denied) + failed);
    expect(denials).toBe(sum(denied));
  }
}

describe.each(stores)('on $name', (store) => {
  beforeAll(() => store.start());
  afterAll(() => store.stop());

  test('checks are counted by decision and source, and other calls are not', async () => {
    const limiter = new RateLimiter({
      name: freshId(),
      limit: 5,
      windowMs: 60_000,
      redis: store.redis(),
      timeoutMs: HANG_MS,
    });
    const seen = new Seen();
    for (let i = 0; i < 10; i++) await seen.ask(limiter, 'one');
    await Promise.all(Array.from({ length: 200 }, (_, i) => seen.ask(limiter, `id-${i % 30}`)));
    await limiter.status('one');
    await limiter.reset('one');
    const metrics = limiter.getMetrics();
    seen.agrees(metrics);
    expect(metrics.checks).toBe(210);
    expect(metrics).toMatchObject({
      inFlight: 0,
      degraded: 0,
      storeErrors: {},
      breaker: { state: 'closed', openings: 0 },
    });
    const overRedis = store.source === 'redis';
    expect(metrics.batchSize.count > 0).toBe(overRedis);
    expect(metrics.storeLatencyMs.count).toBe(metrics.batchSize.count);
    expect(metrics.connections.open > 0).toBe(overRedis);
    await limiter.close();
  });

  test('a close loses no count, and limiters of one name share their counts', async () => {
    const options = { name: freshId(), limit: 5, windowMs: 60_000, redis: store.redis(), timeoutMs: HANG_MS };
    const limiters = [new RateLimiter(options), new RateLimiter(options)] as const;
    await limiters[0].check('a');
    await limiters[1].check('b');
    await limiters[0].close();
    await limiters[0].check('c');
    expect(limiters[1].getMetrics().checks).toBe(3);
    await Promise.all(limiters.map((limiter) => limiter.close()));
    expect(limiters[0].getMetrics().checks).toBe(3);
  });

  test('an anomaly is counted', async () => {
    const limiter = new RateLimiter({
      name: freshId(),
      limit: 2,
      windowMs: 60_000,
      redis: store.redis(),
      timeoutMs: HANG_MS,
    });
    const heard = new Promise((resolve) => limiter.onAnomaly(resolve));
    for (let i = 0; i < 5; i++) await limiter.limit('a');
    await heard;
    expect(limiter.getMetrics().anomalies).toBe(1);
    await limiter.close();
  });

  test('the counts of worker threads are included', async () => {
    const name = freshId();
    const limiter = new RateLimiter({ name, limit: 5, windowMs: 60_000, redis: store.redis(), timeoutMs: HANG_MS });
    await limiter.check('a');
    const worker = new Worker(
      `const { workerData: { module, options } } = require('node:worker_threads');
       const { RateLimiter } = require(module);
       const limiter = new RateLimiter(options);
       limiter.check('b').then(() => limiter.close());`,
      {
        eval: true,
        workerData: {
          module: require.resolve('../..'),
          options: { name, limit: 5, windowMs: 60_000, redis: store.redis(), timeoutMs: HANG_MS },
        },
      },
    );
    await new Promise((resolve, reject) => worker.once('exit', resolve).once('error', reject));
    expect(limiter.getMetrics().checks).toBe(2);
    await limiter.close();
  });
});

test.each(['local', 'open', 'closed', 'throw'] as const)('an outage under %s', async (onStoreError) => {
  const port = await freePort();
  // After a second the breaker probes the store again, and may get another error.
  const { limiter, seen, before } = await within(1000, async () => {
    const limiter = new RateLimiter({
      name: freshId(),
      limit: 3,
      windowMs: 60_000,
      onStoreError,
      timeoutMs: HANG_MS,
      redis: { host: '127.0.0.1', port },
    });
    const seen = new Seen();
    const before = limiter.getMetrics().connections.failed;
    for (let i = 0; i < 8; i++) await seen.ask(limiter, 'a');
    return { limiter, seen, before };
  });
  const metrics = limiter.getMetrics();
  seen.agrees(metrics);
  expect(metrics.degraded).toBe(onStoreError === 'throw' ? 0 : 8);
  expect(metrics.failed).toBe(onStoreError === 'throw' ? 8 : 0);
  // Whichever source decided, no reply of the store arrived; and no latency was recorded for it.
  expect(metrics.storeErrors).toEqual({ ECONNREFUSED: 8 });
  expect(metrics.storeLatencyMs.count).toBe(0);
  expect(metrics.breaker.openings).toBe(1);
  expect(['open', 'half-open']).toContain(metrics.breaker.state);
  expect(metrics.connections.failed).toBeGreaterThan(before);
  await limiter.close();
});

test('a request without an answer is in flight', async () => {
  // An abandoned request was in flight until its deadline, and the slowest requests are included. A new server each
  // time: one without any reply gets health checks. A busy machine may send the request later than it was made.
  await expectMedian(100, async () => {
    const hole = createServer((socket) => socket.on('error', () => {}).resume());
    await new Promise<void>((resolve) => hole.listen(0, '127.0.0.1', resolve));
    const redis = { host: '127.0.0.1', port: (hole.address() as AddressInfo).port };
    const limiter = new RateLimiter({ name: freshId(), limit: 3, windowMs: 60_000, timeoutMs: 500, redis });
    const asked = [1, 2, 3].map((id) => limiter.limit(id));
    expect(limiter.getMetrics().inFlight).toBe(3);
    await Promise.all(asked);
    const metrics = limiter.getMetrics();
    await limiter.close();
    await new Promise((resolve) => hole.close(resolve));
    expect(metrics).toMatchObject({ inFlight: 0, checks: 3, storeErrors: { ETIMEDOUT: 3 } });
    const { batchSize, storeLatencyMs } = metrics;
    return storeLatencyMs.count === batchSize.count ? 500 * batchSize.count - storeLatencyMs.sum : Infinity;
  });
});

test('an unbounded number of names does not fill the memory; names in use, and the creators, have their own counts', async () => {
  await checkCreatorRateLimit('a');
  await close();
  const creators = getMetrics().checks;
  const kept = new RateLimiter({ name: freshId(), limit: 5, windowMs: 60_000 });
  await kept.check('a');
  for (let i = 0; i < 600; i++) {
    const one = new RateLimiter({ name: freshId(), limit: 5, windowMs: 60_000 });
    await one.check('a');
    expect(one.getMetrics().checks).toBe(1);
    await one.close();
  }
  await kept.check('a');
  expect(kept.getMetrics().checks).toBe(2);
  expect(getMetrics().checks).toBe(creators);
  const open = Array.from({ length: 300 }, () => new RateLimiter({ name: freshId(), limit: 5, windowMs: 60_000 }));
  for (const one of open) await one.check('a');
  // The last ones share one entry, under no limiter's name.
  expect(prometheusMetrics()).toMatch(/^rate_limit_checks_total\{limiter="\*".*"memory"\} [1-9]/m);
  expect(open.at(-1)!.getMetrics().checks).toBeGreaterThanOrEqual(40);
  expect(kept.getMetrics().checks).toBe(2);
  await Promise.all([kept, ...open].map((one) => one.close()));
});

test('each new observation is reported once over all callers', async () => {
  const isolated = () => {
    let module!: typeof import('@huntaze/rate-limit');
    jest.isolateModules(() => (module = require('../..')));
    return module;
  };
  const [one, other] = [isolated(), isolated()] as const;
  const denials = (line: string) => JSON.parse(line).RateLimitExceeded;
  one.cloudWatchMetrics();
  const id = freshId();
  for (let i = 0; i < 60; i++) await checkCreatorRateLimit(id, 'starter').catch(() => {});
  expect([one, other, one].map(({ cloudWatchMetrics }) => denials(cloudWatchMetrics()))).toEqual([10, 0, 0]);
  await close();
});
