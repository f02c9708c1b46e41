// What a check costs, counted and not timed: round trips, commands on the server, wake-ups of the JavaScript thread.

import { RateLimiter } from '@huntaze/rate-limit';
import { startRedis, type RedisServer } from './support/redis';
import { freshId } from './support/stores';
import { HANG_MS, tryUntil } from './support/time';

const MAX_BATCH = 64;
const HOUR = 3_600_000;
/** Of which one is to be cheap. The limit must allow for all of them. */
const BURSTS = 50;

/** Without the question whether a connection is alive: a matter of how long it was quiet, and not of a check. */
function decided({ ping: _, ...ran }: Record<string, number>): Record<string, number> {
  return ran;
}

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
      limit: 1000,
      windowMs: HOUR,
      redis: server.options,
      anomaly: false,
      onStoreError: 'throw',
      timeoutMs: HANG_MS,
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

  interface Cost {
    readonly ran: Record<string, number>;
    readonly wakes: number;
  }

  /**
   * What `checks` cost that go on from those before: in another minute each log's TTL is set anew, and a connection that nothing
   * has come over for a second is asked whether it is alive. Then they are asked once more.
   */
  function costOf(checks: () => Promise<unknown>): Promise<Cost> {
    const once = async () => {
      const [ran, woken] = [commands(), wakeUps()];
      await checks();
      const wakes = woken();
      return { ran: ran(), wakes };
    };
    return tryUntil(once, ({ ran }) => ran.pexpire === undefined && ran.ping === undefined);
  }

  test('a thousand at once travel in a few round trips, and wake this thread no more often', async () => {
    const ids = Array.from({ length: 1000 }, freshId);
    const burst = () => Promise.all(ids.map((id) => limiter.check(id)));
    await burst();
    let bursts = 0;
    // While the machine lets this thread wait, or its code is not compiled yet, what has gathered leaves: that is not the cost
    // of a burst, and the next one is counted. Full batches would be 16; 30 to 60 were seen.
    const { ran } = await tryUntil(
      async () => {
        bursts++;
        const { ran, wakes } = await costOf(burst);
        const { evalsha, ...inside } = ran;
        expect(evalsha).toBeGreaterThanOrEqual(Math.ceil(1000 / MAX_BATCH));
        expect(wakes).toBeLessThanOrEqual(evalsha!);
        // The log has an admission of the same minute: no TTL to set, nothing to prune.
        expect(inside).toEqual({ time: evalsha, lindex: 1000, lpush: 1000 });
        return { ran };
      },
      ({ ran: { evalsha } }) => evalsha! <= 125 || bursts === BURSTS,
    );
    expect(ran.evalsha).toBeLessThanOrEqual(125);
  });

  test('a lone check is one round trip and one wake-up', async () => {
    const id = freshId();
    await limiter.check(id);
    const { ran, wakes } = await costOf(async () => {
      for (let i = 0; i < 50; i++) await limiter.check(id);
    });
    expect(ran).toEqual({ evalsha: 50, time: 50, lindex: 50, lpush: 50 });
    expect(wakes).toBe(50);
  });

  test('the first admission of a log sets its TTL', async () => {
    const ran = commands();
    await limiter.check(freshId());
    expect(decided(ran())).toEqual({ evalsha: 1, time: 1, lindex: 1, lpush: 1, pexpire: 1 });
  });

  test('a full log whose oldest admission has expired costs two commands more', async () => {
    const id = freshId();
    const expired = Date.now() - HOUR - 1000;
    server.cli('rpush', `{cost:${id}}`, `${Date.now()}`, `${expired}`, `${expired - 1}`);
    server.cli('pexpire', `{cost:${id}}`, `${HOUR}`);
    const ran = commands();
    expect(await limiter.check(id, { limit: 3 })).toBeUndefined();
    const { pexpire = 0, ...inside } = decided(ran());
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
    expect(decided(ran())).toEqual({ evalsha: 1, time: 1, lindex: 3, lpush: 1, lpop: 1, llen: 1 });
  });

  test('a repeated denial costs the server nothing and wakes nobody', async () => {
    const patient = new RateLimiter({
      name: 'patient',
      limit: 2,
      windowMs: HOUR,
      redis: server.options,
      denyCacheMs: 60_000,
      anomaly: false,
      timeoutMs: HANG_MS,
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
