// What a check costs, counted and not timed: round trips, commands on the server, wake-ups of the JavaScript thread.

import { RateLimiter } from '@huntaze/rate-limit';
import { startRedis, type RedisServer } from './support/redis';
import { freshId, pass } from './support/stores';

const MAX_BATCH = 64;
const HOUR = 3_600_000;

/** How often this thread has been woken since. */
function wakeUps(): () => number {
  // The copy that the tests of this file share with the package: what Rust calls is its `drain`.
  const { border } = jest.requireActual<{ border: { drain(): void } }>('../face/border.js');
  const drain = jest.spyOn(border, 'drain');
  return () => {
    const { length } = drain.mock.calls;
    drain.mockRestore();
    return length;
  };
}

describe('the cost of a check', () => {
  let server: RedisServer;
  let limiter: RateLimiter;

  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    limiter = new RateLimiter({
      name: 'cost',
      limit: 100,
      windowMs: HOUR,
      redis: { url: server.url },
      anomaly: false,
      onStoreError: 'throw',
      timeoutMs: 10_000,
    });
    // Connected, and the script known to the server.
    await limiter.check('warm-up');
  });
  afterEach(async () => {
    jest.restoreAllMocks();
    await limiter.close();
  });

  /** The commands that the server has run since, by name. */
  function commands(): () => Record<string, number> {
    server.cli('config', 'resetstat');
    return () =>
      Object.fromEntries(
        [...server.cli('info', 'commandstats').matchAll(/^cmdstat_(\w+)[^:]*:calls=(\d+)/gm)]
          .map(([, name, calls]) => [name, Number(calls)] as const)
          .filter(([name]) => name !== 'config' && name !== 'info'),
      );
  }

  /** Comes back with time enough before the next minute, in which each log's TTL is set anew. */
  async function withinAMinute() {
    const left = 60_000 - (Date.now() % 60_000);
    if (left < 2000) await pass(left);
  }

  test('a thousand at once travel in a few round trips, and wake this thread no more often', async () => {
    await withinAMinute();
    const ids = Array.from({ length: 1000 }, freshId);
    await Promise.all(ids.map((id) => limiter.check(id)));
    const burst = async () => {
      const [ran, woken] = [commands(), wakeUps()];
      await Promise.all(ids.map((id) => limiter.check(id)));
      const wakes = woken();
      return { ran: ran(), wakes };
    };
    // The best of three: while the machine lets this thread wait, what has gathered leaves, and that is not its cost.
    const bursts = [await burst(), await burst(), await burst()];
    const { ran, wakes } = bursts.sort((a, b) => a.ran.evalsha! - b.ran.evalsha!)[0]!;
    const { evalsha, ...inside } = ran;
    // Full batches would be 16. Code that is not compiled yet asks slowly, and what has gathered leaves in the meantime:
    // 30 to 60 were seen.
    expect(evalsha).toBeGreaterThanOrEqual(Math.ceil(1000 / MAX_BATCH));
    expect(evalsha).toBeLessThanOrEqual(125);
    expect(wakes).toBeLessThanOrEqual(evalsha!);
    // The log has an admission of the same minute: no TTL to set, nothing to prune.
    expect(inside).toEqual({ time: evalsha, lindex: 1000, lpush: 1000 });
  });

  test('a lone check is one round trip and one wake-up', async () => {
    await withinAMinute();
    const id = freshId();
    await limiter.check(id);
    const [ran, woken] = [commands(), wakeUps()];
    for (let i = 0; i < 50; i++) await limiter.check(id);
    const wakes = woken();
    expect(ran()).toEqual({ evalsha: 50, time: 50, lindex: 50, lpush: 50 });
    expect(wakes).toBe(50);
  });

  test('the first admission of a log sets its TTL', async () => {
    const ran = commands();
    await limiter.check(freshId());
    expect(ran()).toEqual({ evalsha: 1, time: 1, lindex: 1, lpush: 1, pexpire: 1 });
  });

  test('a full log whose oldest admission has expired costs two commands more', async () => {
    const id = freshId();
    const expired = Date.now() - HOUR - 1000;
    server.cli('rpush', `{cost:${id}}`, `${Date.now()}`, `${expired}`, `${expired - 1}`);
    server.cli('pexpire', `{cost:${id}}`, `${HOUR}`);
    const ran = commands();
    expect(await limiter.check(id, { limit: 3 })).toBeUndefined();
    const { pexpire = 0, ...inside } = ran();
    expect(inside).toEqual({ evalsha: 1, time: 1, lindex: 2, lpush: 1, ltrim: 1 });
    // Only if a minute has begun since the newest admission.
    expect(pexpire).toBeLessThanOrEqual(1);
    expect(server.cli('llen', `{cost:${id}}`)).toBe('3');
  });

  test('a denial that reaches the server is decided there once', async () => {
    const id = freshId();
    for (let i = 0; i < 2; i++) await limiter.check(id, { limit: 2 });
    const ran = commands();
    expect((await limiter.limit(id, { limit: 2 })).allowed).toBe(false);
    // The admission is taken back: the log was full.
    expect(ran()).toEqual({ evalsha: 1, time: 1, lindex: 3, lpush: 1, lpop: 1, llen: 1 });
  });

  test('a repeated denial costs the server nothing and wakes nobody', async () => {
    const patient = new RateLimiter({
      name: 'patient',
      limit: 2,
      windowMs: HOUR,
      redis: { url: server.url },
      denyCacheMs: 60_000,
      anomaly: false,
    });
    const id = freshId();
    for (let i = 0; i < 3; i++) await patient.limit(id);
    const [ran, woken] = [commands(), wakeUps()];
    for (let i = 0; i < 1000; i++) expect((await patient.limit(id)).source).toBe('deny-cache');
    expect(ran()).toEqual({});
    expect(woken()).toBe(0);
    await patient.close();
  });

  test('a full log of 500 takes less than 6 KB, and less than 12 bytes an admission', async () => {
    const id = freshId();
    await Promise.all(Array.from({ length: 501 }, () => limiter.limit(id, { limit: 500 })));
    const bytes = Number(server.cli('memory', 'usage', `{cost:${id}}`, 'samples', '0'));
    expect(bytes).toBeGreaterThan(500);
    expect(bytes).toBeLessThan(6 * 1024);
    expect(bytes / 500).toBeLessThan(12);
  });
});
