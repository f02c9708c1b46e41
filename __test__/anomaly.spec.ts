import {
  RateLimiter,
  checkCreatorRateLimit,
  close,
  configure,
  getRateLimitStatus,
  onAnomaly,
  resetCreatorRateLimit,
  type Anomaly,
  type CreatorPlan,
} from '@huntaze/rate-limit';
import { freshId, stores } from './support/stores';
import { HANG_MS, until } from './support/time';

const ignore = () => {};

describe.each(stores)('anomalies on $name', (store) => {
  let heard: Anomaly[];
  let warn: jest.SpyInstance;

  beforeAll(() => store.start());
  afterAll(() => store.stop());
  beforeEach(() => {
    heard = [];
    warn = jest.spyOn(console, 'warn').mockImplementation(ignore);
    configure({ redis: store.redis(), timeoutMs: HANG_MS, plans: { starter: 5 } });
  });
  afterEach(async () => {
    await close();
    warn.mockRestore();
  });

  /**
   * Waits for `count` anomalies of this id and for the next answer of the same limiter, which would deliver another
   * one. A denial from the cache may be counted a second later.
   */
  async function expectAnomalies(id: string, count: number, heardOf: () => number = () => heard.length) {
    await until(() => heardOf() >= count);
    await getRateLimitStatus(id, 'starter');
    await new Promise((resolve) => setImmediate(resolve));
    expect(heardOf()).toBe(count);
  }

  /** Makes `count` requests and lets the listeners run. */
  async function ask(id: string | number, count: number, plan: CreatorPlan = 'starter') {
    for (let i = 0; i < count; i++) await checkCreatorRateLimit(id, plan).catch(ignore);
    await new Promise((resolve) => setImmediate(resolve));
  }

  test('2 × limit requests report no anomaly, 2 × limit + 1 one, and further requests none', async () => {
    const off = onAnomaly((a) => heard.push(a));
    const id = freshId();
    await ask(id, 10);
    expect(heard).toEqual([]);
    await ask(id, 1);
    await expectAnomalies(id, 1);
    expect(heard).toEqual([
      { creatorId: id, plan: 'starter', requestsIn5Min: 11, threshold: 10, timestamp: expect.any(String) },
    ]);
    expect(new Date(heard[0]!.timestamp).toISOString()).toBe(heard[0]!.timestamp);
    await ask(id, 2000);
    await expectAnomalies(id, 1);
    off();
    expect(warn).not.toHaveBeenCalled();
  });

  test('a reset ends the count, and the pause after a report', async () => {
    const off = onAnomaly((a) => heard.push(a));
    const id = freshId();
    await ask(id, 10);
    await resetCreatorRateLimit(id);
    await ask(id, 10);
    expect(heard).toEqual([]);
    await ask(id, 1);
    await expectAnomalies(id, 1);
    await resetCreatorRateLimit(id);
    await ask(id, 40);
    await expectAnomalies(id, 2);
    off();
  });

  test('without a listener it is logged, with the id escaped', async () => {
    const id = '7\n[AI Rate Limit] forged';
    await ask(id, 11);
    await expectAnomalies(id, 1, () => warn.mock.calls.length);
    expect(warn.mock.calls).toEqual([
      [
        '[AI Rate Limit] Anomaly detected',
        {
          creatorId: '7%0A%5BAI%20Rate%20Limit%5D%20forged',
          plan: 'starter',
          requestsIn5Min: 11,
          threshold: 10,
          timestamp: expect.any(String),
        },
      ],
    ]);
  });

  test('a listener that throws, or rejects, breaks nothing, and the other listeners are called', async () => {
    const offs = [
      onAnomaly(() => {
        throw new Error('listener');
      }),
      onAnomaly(async () => Promise.reject(new Error('listener'))),
      onAnomaly((a) => heard.push(a)),
    ];
    const id = freshId();
    await ask(id, 11);
    await expectAnomalies(id, 1);
    for (const off of offs) off();
  });

  test('a listener may ask again, and unsubscribe', async () => {
    const id = freshId();
    const off = onAnomaly((a) => {
      heard.push(a);
      off();
      void checkCreatorRateLimit(id, 'starter').catch(ignore);
    });
    await ask(id, 11 + 11);
    await expectAnomalies(id, 1);
    const other = freshId();
    await ask(other, 11);
    await expectAnomalies(other, 1, () => warn.mock.calls.length);
    expect(heard).toHaveLength(1);
  });

  test('many concurrent requests: exactly one', async () => {
    const off = onAnomaly((a) => heard.push(a));
    const id = freshId();
    await Promise.allSettled(Array.from({ length: 35 }, () => checkCreatorRateLimit(id, 'starter')));
    await expectAnomalies(id, 1);
    off();
  });

  test('a RateLimiter: its own factor, no plan, disabled by false', async () => {
    const options = { name: 'anomaly', limit: 4, windowMs: 60_000, redis: store.redis(), timeoutMs: HANG_MS };
    const strict = new RateLimiter({ ...options, anomaly: { factor: 1.5 } });
    const blind = new RateLimiter({ ...options, anomaly: false });
    strict.onAnomaly((a) => heard.push(a));
    blind.onAnomaly((a) => heard.push(a));
    const [a, b] = [freshId(), freshId()];
    for (let i = 0; i < 7; i++) await strict.limit(a);
    for (let i = 0; i < 30; i++) await blind.limit(b);
    await until(() => heard.length > 0);
    await Promise.all([strict.status(a), blind.status(b)]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(heard).toEqual([{ creatorId: a, requestsIn5Min: 7, threshold: 6, timestamp: expect.any(String) }]);
    await Promise.all([strict.close(), blind.close()]);
  });
});
