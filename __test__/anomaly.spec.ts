import {
  RateLimiter,
  checkCreatorRateLimit,
  close,
  configure,
  onAnomaly,
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

  /** Resolves when so many have been heard of: who is denied by what is remembered may be counted a second later. */
  const told = (count: number) => until(() => heard.length >= count);

  /** Asks `count` times and lets the listeners run. */
  async function ask(id: string | number, count: number, plan: CreatorPlan = 'starter') {
    for (let i = 0; i < count; i++) await checkCreatorRateLimit(id, plan).catch(ignore);
    await new Promise((resolve) => setImmediate(resolve));
  }

  test('2 × limit requests report none, 2 × limit + 1 one, and as many again one more', async () => {
    const off = onAnomaly((a) => heard.push(a));
    const id = freshId();
    await ask(id, 10);
    expect(heard).toEqual([]);
    await ask(id, 1);
    await told(1);
    expect(heard).toEqual([
      { creatorId: id, plan: 'starter', requestsIn5Min: 11, threshold: 10, timestamp: expect.any(String) },
    ]);
    expect(new Date(heard[0]!.timestamp).toISOString()).toBe(heard[0]!.timestamp);
    await ask(id, 10);
    expect(heard).toHaveLength(1);
    await ask(id, 1);
    await told(2);
    expect(heard).toHaveLength(2);
    off();
    expect(warn).not.toHaveBeenCalled();
  });

  test('with no listener it is logged, the id escaped', async () => {
    await ask('7\n[AI Rate Limit] forged', 11);
    await until(() => warn.mock.calls.length > 0);
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

  test('a listener that throws, or rejects, breaks nothing, and the others still hear', async () => {
    const offs = [
      onAnomaly(() => {
        throw new Error('listener');
      }),
      onAnomaly(async () => Promise.reject(new Error('listener'))),
      onAnomaly((a) => heard.push(a)),
    ];
    await ask(freshId(), 11);
    await told(1);
    expect(heard).toHaveLength(1);
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
    await told(1);
    await until(() => warn.mock.calls.length > 0);
    expect(heard).toHaveLength(1);
    expect(warn).toHaveBeenCalledTimes(1);
  });

  test('a crowd at once: exactly one a crossing', async () => {
    const off = onAnomaly((a) => heard.push(a));
    const id = freshId();
    await Promise.allSettled(Array.from({ length: 35 }, () => checkCreatorRateLimit(id, 'starter')));
    await told(3);
    expect(heard).toHaveLength(3);
    off();
  });

  test('a limiter of another kind: its own factor, no plan, off when false', async () => {
    const options = { name: 'anomaly', limit: 4, windowMs: 60_000, redis: store.redis(), timeoutMs: HANG_MS };
    const strict = new RateLimiter({ ...options, anomaly: { factor: 1.5 } });
    const blind = new RateLimiter({ ...options, anomaly: false });
    strict.onAnomaly((a) => heard.push(a));
    blind.onAnomaly((a) => heard.push(a));
    const [a, b] = [freshId(), freshId()];
    for (let i = 0; i < 7; i++) await strict.limit(a);
    for (let i = 0; i < 30; i++) await blind.limit(b);
    await told(1);
    expect(heard).toEqual([{ creatorId: a, requestsIn5Min: 7, threshold: 6, timestamp: expect.any(String) }]);
    await Promise.all([strict.close(), blind.close()]);
  });
});
