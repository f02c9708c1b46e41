import { Worker } from 'node:worker_threads';
import { join } from 'node:path';
import type * as RateLimit from '@huntaze/rate-limit';
import {
  RateLimiter,
  checkCreatorRateLimit,
  close,
  configure,
  getMetrics,
  onStoreStateChange,
  testConnection,
  type RateLimiterOptions,
  type StoreStateChange,
} from '@huntaze/rate-limit';
import { Cluster, SHARDS, SLOTS, slotOf } from './servers/index.cjs';
import { freePort, startRedisOn, type RedisServer } from './support/redis';
import { freshId } from './support/stores';
import { HANG_MS, pass, until } from './support/time';

// Redis becomes unavailable and comes back: the calls of listeners, and the log lines without a listener.

const PACKAGE = join(__dirname, '..');

let port: number;
let redis: RedisServer | undefined;
let warn: jest.SpyInstance;
const open: { close(): Promise<void> }[] = [];

/** Log lines, as a console writes them. */
const lines = () => warn.mock.calls.map((call) => call.join(' '));

beforeEach(async () => {
  port = await freePort();
  warn = jest.spyOn(console, 'warn').mockImplementation(() => {});
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((limiter) => limiter.close()));
  await redis?.stop();
  redis = undefined;
  warn.mockRestore();
});

function options(more: Partial<RateLimiterOptions> = {}): RateLimiterOptions {
  // The port is closed at first: a refusal decides, and no deadline.
  const server = { host: '127.0.0.1', port, connectTimeoutMs: HANG_MS };
  return { name: freshId(), limit: 1000, windowMs: 60_000, timeoutMs: HANG_MS, redis: server, ...more };
}

function limiter(more?: Partial<RateLimiterOptions>): RateLimiter {
  const made = new RateLimiter(options(more));
  open.push(made);
  return made;
}

/**
 * Makes checks, one after the other, until the condition holds; returns how many the policy decided, and how many were
 * made.
 */
async function askUntil(l: { limit: RateLimiter['limit'] }, so: () => boolean): Promise<{ instead: number }> {
  let instead = 0;
  await until(() => {
    void l.limit('x').then(
      ({ source }) => source !== 'redis' && instead++,
      () => instead++,
    );
    return so();
  });
  return { instead };
}

function listen(l: RateLimiter): StoreStateChange[] {
  const heard: StoreStateChange[] = [];
  l.onStoreStateChange((change) => heard.push(change));
  return heard;
}

test.each(['local', 'open', 'closed', 'throw'] as const)('a listener gets each change as data: %s', async (policy) => {
  const l = limiter({ onStoreError: policy });
  const name = l.getMetrics().limiter;
  const heard = listen(l);
  const { instead } = await askUntil(l, () => heard.length > 0);
  expect(heard).toEqual([{ state: 'away', limiter: name, policy, code: 'ECONNREFUSED', shard: `127.0.0.1:${port}` }]);
  expect(l.getMetrics().store).toMatchObject({ away: true, outages: 1 });
  redis = await startRedisOn(port);
  const more = await askUntil(l, () => heard.length > 1);
  expect(heard[1]).toEqual({
    state: 'back',
    limiter: name,
    policy,
    durationMs: expect.any(Number),
    decided: expect.any(Number),
  });
  const { durationMs, decided } = heard[1]!;
  expect(durationMs).toBeGreaterThan(0);
  // Except for those before the one that opened the breaker.
  expect(decided).toBeGreaterThanOrEqual(1);
  expect(decided).toBeLessThanOrEqual(instead + more.instead);
  const { store } = l.getMetrics();
  expect(store).toMatchObject({ away: false, outages: 1 });
  expect(Math.abs(store.awayMs - durationMs!)).toBeLessThanOrEqual(1);
  expect(lines()).toEqual([]);
});

test('without a listener one line reports that it is away and one that it is back, and none a check', async () => {
  const l = limiter({ onStoreError: 'closed' });
  const name = l.getMetrics().limiter;
  await askUntil(l, () => lines().length > 0);
  for (let i = 0; i < 500; i++) await l.limit(`id-${i}`);
  expect(lines()).toEqual([
    `[AI Rate Limit] Redis is away for limiter '${name}' (ECONNREFUSED at 127.0.0.1:${port}): onStoreError 'closed' decides until it is back`,
  ]);
  redis = await startRedisOn(port);
  await askUntil(l, () => lines().length > 1);
  expect(lines()[1]).toMatch(
    new RegExp(
      `^\\[AI Rate Limit\\] Redis is back for limiter '${name}' after \\d+\\.\\d s: onStoreError 'closed' decided \\d+ checks meanwhile$`,
    ),
  );
  expect(Number(/decided (\d+)/.exec(lines()[1]!)![1])).toBeGreaterThan(500);
  for (let i = 0; i < 100; i++) await l.limit(`id-${i}`);
  expect(lines()).toHaveLength(2);
});

test('of the creators: a function, whose listeners survive a close', async () => {
  open.push({ close });
  configure({ redis: options().redis, timeoutMs: HANG_MS });
  const heard: StoreStateChange[] = [];
  const off = onStoreStateChange((change) => heard.push(change));
  const away = { state: 'away', limiter: 'creator', policy: 'local', code: 'ECONNREFUSED', shard: `127.0.0.1:${port}` };
  for (let round = 1; round <= 2; round++) {
    await until(() => {
      void checkCreatorRateLimit(freshId()).catch(() => {});
      return heard.length === round;
    });
    expect(heard.at(-1)).toEqual(away);
    expect(getMetrics().store.away).toBe(true);
    await close();
    expect(getMetrics().store.away).toBe(false);
  }
  off();
  expect(lines()).toEqual([]);
  expect(() => onStoreStateChange('x' as never)).toThrow(TypeError);
});

test('a listener that throws or rejects breaks nothing; a removed one is not called', async () => {
  const l = limiter();
  const removed = jest.fn();
  l.onStoreStateChange(removed)();
  l.onStoreStateChange(() => {
    throw new Error('thrown');
  });
  l.onStoreStateChange((async () => Promise.reject(new Error('rejected'))) as () => void);
  const heard = listen(l);
  await askUntil(l, () => heard.length > 0);
  await until(() => lines().length === 2);
  expect(removed).not.toHaveBeenCalled();
  expect(lines()).toEqual([
    '[AI Rate Limit] A store state listener failed Error: thrown',
    '[AI Rate Limit] A store state listener failed Error: rejected',
  ]);
});

test('a console that throws, or a missing one, breaks nothing', async () => {
  warn.mockImplementation(() => {
    throw new Error('no console');
  });
  const l = limiter();
  await askUntil(l, () => lines().length > 0);
  expect((await l.limit('x')).source).toBe('local');
  const { console } = globalThis;
  const quiet = limiter();
  try {
    Reflect.deleteProperty(globalThis, 'console');
    await askUntil(quiet, () => quiet.getMetrics().store.away);
    expect((await quiet.limit('x')).source).toBe('local');
  } finally {
    globalThis.console = console;
  }
});

test('checks with their own errors, a connection test and the embedded store change nothing', async () => {
  const l = limiter();
  const heard = listen(l);
  // Two in a row.
  for (let i = 0; i < 2; i++) expect((await l.limit('x')).source).toBe('local');
  open.push({ close });
  configure({ redis: options().redis, timeoutMs: HANG_MS });
  for (let i = 0; i < 6; i++) expect((await testConnection()).success).toBe(false);
  const embedded = new RateLimiter({ name: freshId(), limit: 1, windowMs: 1000, anomaly: false });
  const none = listen(embedded);
  for (let i = 0; i < 50; i++) await embedded.limit('x');
  await embedded.close();
  expect([heard, none, lines()]).toEqual([[], [], []]);
  expect(embedded.getMetrics().store).toEqual({ away: false, outages: 0, awayMs: 0 });
});

test('limiters of one name, worker threads and copies of the module share one pair of log lines', async () => {
  const shared = options({ onStoreError: 'closed' });
  let copy!: typeof RateLimit;
  jest.isolateModules(() => (copy = require('@huntaze/rate-limit')));
  const all = [new RateLimiter(shared), new RateLimiter(shared), new copy.RateLimiter(shared)];
  open.push(...all);
  const script = `
    const { parentPort, workerData } = require('node:worker_threads');
    console.warn = (...line) => parentPort.postMessage(line.join(' '));
    const limiter = new (require(workerData.module).RateLimiter)(workerData.shared);
    const asking = setInterval(() => limiter.limit('x'), 5);
    let away = false;
    setInterval(() => {
      if (limiter.getMetrics().store.away === away) return;
      away = !away;
      parentPort.postMessage(away ? 'away' : 'back');
    }, 5);`;
  const worker = new Worker(script, { eval: true, workerData: { module: PACKAGE, shared } });
  const said: string[] = [];
  worker.on('message', (line) => said.push(line));
  const both = () => [...lines(), ...said.filter((line) => line.startsWith('['))];
  try {
    const ask = () => all.forEach((l) => void l.limit('x'));
    await until(() => (ask(), said.includes('away') && both().length > 0));
    // Each of them has opened its breaker.
    await until(() => (ask(), all.every((l) => l.getMetrics().breaker.openings >= all.length + 1)));
    expect(both()).toHaveLength(1);
    redis = await startRedisOn(port);
    await until(() => (ask(), said.includes('back') && both().length > 1));
    expect(both().map((line) => /is (away|back)/.exec(line)![1])).toEqual(expect.arrayContaining(['away', 'back']));
    for (const l of all) await until(() => (ask(), l.getMetrics().breaker.state === 'closed'));
    expect(both()).toHaveLength(2);
    expect(all[0]!.getMetrics().store.outages).toBe(1);
  } finally {
    await worker.terminate();
  }
});

test('a limiter opened while another limiter’s decisions await replay counts its breaker as opened, too', async () => {
  const shared = options();
  const [first, second] = [limiter(shared), limiter(shared)];
  expect((await first.limit('x')).source).toBe('local');
  const heard = listen(second);
  await askUntil(second, () => heard.length > 0);
  expect(heard).toMatchObject([{ state: 'away' }]);
  // One failure has not opened the breaker of the first.
  expect(second.getMetrics().breaker).toEqual({ state: 'open', openings: 1 });
});

test('changes within ten seconds of a pair of lines are not logged, and still reported to listeners', async () => {
  const shared = options();
  const [quiet, listening] = [limiter(shared), limiter(shared)];
  const heard = listen(listening);
  const begun = performance.now();
  for (let round = 1; round <= 3; round++) {
    await redis?.stop();
    const both = { limit: (id: string) => Promise.all([quiet.limit(id), listening.limit(id)]).then(([d]) => d) };
    await askUntil(both, () => heard.length === 2 * round - 1 && quiet.getMetrics().breaker.openings >= 2 * round);
    redis = await startRedisOn(port);
    await askUntil(both, () => heard.length === 2 * round && quiet.getMetrics().breaker.state === 'closed');
  }
  expect(heard.map(({ state }) => state)).toEqual(['away', 'back', 'away', 'back', 'away', 'back']);
  // One pair, and another for every ten seconds that it took.
  const pairs = 1 + Math.floor((performance.now() - begun) / 10_000);
  expect(lines().length).toBeLessThanOrEqual(2 * pairs);
  expect(lines().slice(0, 2)).toEqual([expect.stringContaining('is away'), expect.stringContaining('is back')]);
});

test('a suppressed change is logged after ten seconds, if it still holds', async () => {
  const l = limiter({ onStoreError: 'open' });
  await askUntil(l, () => lines().length === 1);
  redis = await startRedisOn(port);
  await askUntil(l, () => lines().length === 2);
  const complete = performance.now();
  await redis.stop();
  redis = undefined;
  await askUntil(l, () => l.getMetrics().store.away);
  await until(() => lines().length === 3);
  // The ten seconds began a moment before this clock was read.
  expect(performance.now() - complete).toBeGreaterThan(9900);
  expect(lines()[2]).toContain('is away');
  redis = await startRedisOn(port);
  await askUntil(l, () => lines().length === 4);
  expect(lines()[3]).toContain('is back');
});

test('of a cluster, the first shard that fails and the last that recovers', async () => {
  // No replica is promoted meanwhile.
  const cluster = await Cluster.start({ nodeTimeoutMs: 60_000 });
  try {
    const name = freshId();
    const l = limiter({ name, redis: { host: '127.0.0.1', port: cluster.seed, cluster: true }, timeoutMs: 1000 });
    const heard = listen(l);
    const shardOf = (id: string) => Math.floor((slotOf(`{${name}:${id}}`) * SHARDS) / SLOTS);
    const idOf = (shard: number) => Array.from({ length: 1000 }, (_, i) => `${i}`).find((id) => shardOf(id) === shard)!;
    const sourceOf = async (shard: number) => (await l.limit(idOf(shard))).source;
    for (let shard = 0; shard < SHARDS; shard++) expect(await sourceOf(shard)).toBe('redis');
    const ports = [await cluster.primary(1), await cluster.primary(2)] as const;
    const asking = (...shards: number[]) =>
      setInterval(() => shards.forEach((shard) => void sourceOf(shard).catch(() => {})), 20);
    cluster.freeze(ports[0]);
    let timer = asking(1);
    await until(() => heard.length > 0);
    expect(heard).toEqual([
      { state: 'away', limiter: name, policy: 'local', code: 'ETIMEDOUT', shard: `127.0.0.1:${ports[0]}` },
    ]);
    expect(await sourceOf(0)).toBe('redis');
    cluster.freeze(ports[1]);
    clearInterval(timer);
    timer = asking(2);
    await until(() => l.getMetrics().breaker.openings === 2);
    clearInterval(timer);
    cluster.thaw(ports[0]);
    for (const end = performance.now() + HANG_MS; (await sourceOf(1)) !== 'redis';) {
      if (performance.now() > end) throw new Error('shard 1 is not back');
      await pass(5);
    }
    expect(heard).toHaveLength(1);
    cluster.thaw(ports[1]);
    await until(() => heard.length > 1);
    expect(heard).toHaveLength(2);
    expect(heard[1]).toMatchObject({ state: 'back', limiter: name, policy: 'local' });
  } finally {
    await cluster.stop();
  }
});
