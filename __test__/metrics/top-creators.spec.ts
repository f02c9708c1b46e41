import {
  checkCreatorRateLimit,
  close,
  configure,
  resetCreatorRateLimit,
  topCreators,
  type CreatorPlan,
} from '@huntaze/rate-limit';
import { startRedis } from '../support/redis';
import { freshId, stores } from '../support/stores';
import { HANG_MS } from '../support/time';

async function ask(id: string, plan: CreatorPlan, times: number): Promise<void> {
  for (let i = 0; i < times; i++) await checkCreatorRateLimit(id, plan).catch(() => {});
}

describe.each(stores)('on $name', (store) => {
  beforeAll(() => store.start());
  // The candidates of an earlier test, and its sampling, ended with its close.
  beforeEach(() => configure({ redis: store.redis(), timeoutMs: HANG_MS, anomaly: false }));
  afterEach(() => close());
  afterAll(() => store.stop());

  test('the creators nearest to their quota come first, with their status', async () => {
    const [over, near, half, far] = [freshId(), freshId(), freshId(), freshId()];
    await ask(far, 'business', 60);
    await ask(half, 'pro', 50);
    await ask(near, 'starter', 49);
    await ask(over, 'starter', 70);
    const top = (await topCreators(64)).filter(({ creatorId }) => [over, near, half, far].includes(creatorId));
    expect(top.map(({ creatorId }) => creatorId)).toEqual([over, near, half, far]);
    expect(top[0]).toEqual({
      creatorId: over,
      plan: 'starter',
      limit: 50,
      used: 50,
      remaining: 0,
      reset: expect.any(Number),
      requests: expect.any(Number),
      source: store.source,
    });
    expect(top[1]).toMatchObject({ used: 49, remaining: 1 });
    expect(top[3]).toMatchObject({ plan: 'business', limit: 500, used: 60 });
    expect((await topCreators(1)).length).toBe(1);
  });

  test('a creator that was reset is omitted', async () => {
    const id = freshId();
    await ask(id, 'starter', 50);
    const listed = async () => (await topCreators(64)).some(({ creatorId }) => creatorId === id);
    expect(await listed()).toBe(true);
    await resetCreatorRateLimit(id);
    expect(await listed()).toBe(false);
  });

  test('many creators with a large plan do not hide one with a used-up small plan, however fast they ask', async () => {
    const [id, others] = [freshId(), freshId()];
    const asked = Array.from({ length: 20_000 }, (_, n) =>
      n % 400 === 0 ? checkCreatorRateLimit(id, 'starter') : checkCreatorRateLimit(`${others}-${n % 300}`, 'business'),
    );
    await Promise.all(asked);
    if (store.source === 'redis') {
      // There a check does not return the remaining requests: with so many creators, those not denied are sampled.
      await checkCreatorRateLimit(id, 'starter').catch(() => {});
    }
    const top = await topCreators(5);
    expect(top.find(({ creatorId }) => creatorId === id)).toMatchObject({ used: 50 });
  });

  test('a reconfigured plan takes effect at once', async () => {
    const id = freshId();
    await ask(id, 'starter', 10);
    await close();
    configure({ redis: store.redis(), timeoutMs: HANG_MS, plans: { starter: 20 } });
    // A creator is a candidate again after its next request.
    expect(await topCreators(64)).toEqual([]);
    await ask(id, 'starter', 1);
    expect((await topCreators(64)).find(({ creatorId }) => creatorId === id)).toMatchObject({ limit: 20 });
  });

  test('many other creators do not hide the most active one', async () => {
    const id = freshId();
    const crowd = freshId();
    for (let i = 0; i < 20_000; i += 200) {
      await Promise.all(
        Array.from({ length: 200 }, (_, n) =>
          checkCreatorRateLimit(n % 10 === 0 ? id : `${crowd}-${i + n}`, 'business').catch(() => {}),
        ),
      );
    }
    expect((await topCreators(1))[0]).toMatchObject({ creatorId: id, used: 500 });
  });
});

test('the status comes from the store, over all processes', async () => {
  const server = await startRedis();
  configure({ redis: server.options, timeoutMs: HANG_MS });
  const id = freshId();
  await ask(id, 'starter', 3);
  // Requests of another process.
  server.cli('del', `{creator:${id}}`);
  expect((await topCreators(64)).some(({ creatorId }) => creatorId === id)).toBe(false);
  await close();
  await server.stop();
});

test('topCreators() is no check: a later configure() is still possible', async () => {
  expect(await topCreators()).toEqual([]);
  configure({ plans: { starter: 7 } });
  await close();
});

test.each([
  ['local', ['local']],
  ['open', []],
  ['closed', []],
] as const)('while Redis is away, under %s', async (onStoreError, sources) => {
  const server = await startRedis();
  configure({ redis: server.options, onStoreError, timeoutMs: HANG_MS });
  const id = freshId();
  await ask(id, 'starter', 5);
  await server.stop();
  for (let i = 0; i < 5; i++) await checkCreatorRateLimit(id, 'starter').catch(() => {});
  const top = (await topCreators(64)).filter(({ creatorId }) => creatorId === id);
  expect(top.map(({ source }) => source)).toEqual(sources);
  await close();
});

test('while Redis is unavailable, under throw', async () => {
  const server = await startRedis();
  configure({ redis: server.options, onStoreError: 'throw', timeoutMs: HANG_MS });
  await checkCreatorRateLimit(freshId());
  await server.stop();
  await expect(topCreators()).rejects.toMatchObject({ code: expect.stringMatching(/^E(CONN|TIMEDOUT)/) });
  await close();
});

test.each([0, 65, 1.5, Number.NaN])('%p is an invalid count', async (count) => {
  await expect(topCreators(count)).rejects.toMatchObject({ code: 'ERR_OUT_OF_RANGE' });
});
test.each([null, '3', {}])('%p is an invalid count', async (count) => {
  await expect(topCreators(count as never)).rejects.toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' });
});
