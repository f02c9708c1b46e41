// The chat as its client sees it: answers and denials with the rate-limit headers, and error messages for bad requests.

import { setTimeout as sleep } from 'node:timers/promises';
import { type RedisServer, startRedis } from '../support/redis';
import { type App, post, startApp } from './support/app';
import { limitsOf } from './support/headers';

const HOUR_MS = 3_600_000;

let redis: RedisServer;
let app: App;
beforeAll(async () => {
  redis = await startRedis();
  app = await startApp({ env: { REDIS_URL: redis.url } });
});
afterAll(async () => {
  await app?.stop();
  await redis?.stop();
});

/** Whole seconds of the clock. */
const now = () => Math.floor(Date.now() / 1000);

test('fifty calls on starter are answered, the next is denied, and the headers say so', async () => {
  for (let used = 1; used <= 50; used++) {
    const response = await app.chat('fifty', 'starter', `Hello ${used}`);
    expect([response.status, await response.json()]).toEqual([200, { answer: `You said: Hello ${used}` }]);
    const limits = limitsOf(response);
    expect(limits).toMatchObject({ limit: 50, remaining: 50 - used, policy: { q: 50 }, rateLimit: { r: 50 - used } });
    expect(limits.retryAfter).toBeUndefined();
    expect(limits.reset).toBeGreaterThan(now() + 3500);
    expect(limits.reset).toBeLessThanOrEqual(now() + 3602);
  }

  const sentAt = now();
  const denied = await app.chat('fifty', 'starter');
  const receivedAt = now();
  const { limit, remaining, reset, retryAfter, policy, rateLimit } = limitsOf(denied);
  expect({ status: denied.status, limit, remaining }).toEqual({ status: 429, limit: 50, remaining: 0 });
  expect(retryAfter).toBeGreaterThanOrEqual(1);
  expect(retryAfter).toBeLessThanOrEqual(3600);
  // All of them name the moment at which a lone caller is admitted.
  expect(reset! - retryAfter!).toBeGreaterThanOrEqual(sentAt - 2);
  expect(reset! - retryAfter!).toBeLessThanOrEqual(receivedAt + 2);
  expect(policy).toEqual({ name: rateLimit!.name, q: 50, w: 3600 });
  expect(rateLimit).toEqual({ name: policy!.name, r: 0, t: retryAfter });
  expect(await denied.json()).toMatchObject({ code: 'RATE_LIMITED', retryAfter, error: expect.any(String) });
});

test('pro is the default plan, and a larger plan admits more', async () => {
  for (let used = 1; used <= 50; used++) await (await app.chat('upgraded', 'starter')).arrayBuffer();
  expect((await app.chat('upgraded', 'starter')).status).toBe(429);
  const pro = await app.chat('upgraded');
  expect([pro.status, limitsOf(pro)]).toMatchObject([200, { limit: 100, remaining: 49 }]);
  expect(limitsOf(await app.chat('upgraded', 'business'))).toMatchObject({ limit: 500, remaining: 448 });
});

describe('a client that is denied and asks again', () => {
  /** Uses up a quota whose oldest request leaves the window in `ms`. */
  async function usedUp(creatorId: string, ms: number): Promise<{ expiresAt: number }> {
    for (let used = 1; used <= 50; used++) await (await app.chat(creatorId, 'starter')).arrayBuffer();
    const expiresAt = Date.now() + ms;
    redis.cli('lset', `{creator:${creatorId}}`, '-1', `${expiresAt - HOUR_MS}`);
    return { expiresAt };
  }

  /** Times in ms until the oldest request leaves: a busy machine may need longer than the first to be denied. */
  const EXPIRY_DELAYS_MS = [3000, 10_000, 40_000];

  test('is admitted when it waits for Retry-After', async () => {
    for (const [i, ms] of EXPIRY_DELAYS_MS.entries()) {
      const id = `obedient-${i}`;
      const { expiresAt } = await usedUp(id, ms);
      const denied = await app.chat(id, 'starter');
      // It has already left: the machine was too slow for this attempt.
      if (denied.status === 200 && Date.now() >= expiresAt && i + 1 < EXPIRY_DELAYS_MS.length) continue;
      const { retryAfter } = limitsOf(denied);
      expect([denied.status, retryAfter]).toEqual([429, expect.any(Number)]);
      expect(retryAfter).toBeLessThanOrEqual(Math.ceil(ms / 1000));
      await sleep(retryAfter! * 1000);
      expect((await app.chat(id, 'starter')).status).toBe(200);
      expect((await app.chat(id, 'starter')).status).toBe(429);
      return;
    }
  });

  test('is admitted at the same time when it does not wait: a denial costs nothing', async () => {
    for (const [i, ms] of EXPIRY_DELAYS_MS.entries()) {
      const id = `insistent-${i}`;
      const { expiresAt } = await usedUp(id, ms);
      const statuses: number[] = [];
      while (!statuses.includes(200)) {
        const response = await app.chat(id, 'starter');
        await response.arrayBuffer();
        statuses.push(response.status);
      }
      expect(Date.now()).toBeGreaterThanOrEqual(expiresAt);
      if (statuses.length < 3 && i + 1 < EXPIRY_DELAYS_MS.length) continue;
      expect(statuses.length).toBeGreaterThan(2);
      expect(statuses.slice(0, -1).every((status) => status === 429)).toBe(true);
      // One slot was free, and one was taken.
      expect((await app.chat(id, 'starter')).status).toBe(429);
      return;
    }
  });
});

describe('an invalid request takes nothing from the quota, and its error says how to correct it', () => {
  const long = 'x'.repeat(4001);
  const invalidBodies: [string, string, string, RegExp][] = [
    ['bad JSON', '{"creatorId": 7,', 'body', /JSON/],
    ['no body', '', 'body', /JSON/],
    ['no object', '[7]', 'body', /object/],
    ['null', 'null', 'body', /object/],
    ['no creator', '{"plan": "starter", "message": "Hello"}', 'creatorId', /number or a string/],
    ['an ill-typed creator', '{"creatorId": {"id": 7}, "message": "Hello"}', 'creatorId', /number or a string/],
    ['an unknown plan', '{"creatorId": "bad", "plan": "PRO", "message": "Hello"}', 'plan', /starter, pro, business/],
    ['an inherited plan', '{"creatorId": "bad", "plan": "__proto__", "message": "Hello"}', 'plan', /starter, pro/],
    ['no plan but null', '{"creatorId": "bad", "plan": null, "message": "Hello"}', 'plan', /starter, pro, business/],
    ['no message', '{"creatorId": "bad", "plan": "starter"}', 'message', /not empty/],
    ['an ill-typed message', '{"creatorId": "bad", "plan": "starter", "message": 7}', 'message', /text/],
    ['a blank message', '{"creatorId": "bad", "plan": "starter", "message": " \\n"}', 'message', /not empty/],
    ['too long a message', JSON.stringify({ creatorId: 'bad', plan: 'starter', message: long }), 'message', /4000/],
  ];

  test.each(invalidBodies)('%s', async (_, body, field, message) => {
    const response = await post(app.url, body);
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({ field, error: expect.stringMatching(message) });
  });

  test('an endless body is not read to its end', async () => {
    const { status } = await post(app.url, `{"message": "${'x'.repeat(20_000)}"}`);
    expect(status).toBe(413);
  });

  test.each([-1, 1.5, '', 'x'.repeat(257)])('the id %p, which the limiter refuses', async (id) => {
    const response = await app.chat(id, 'starter');
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({ error: expect.stringMatching(/must be/), code: 'ERR_OUT_OF_RANGE' });
  });

  test('and none of them was counted', async () => {
    expect(limitsOf(await app.chat('bad', 'starter'))).toMatchObject({ limit: 50, remaining: 49 });
  });
});
