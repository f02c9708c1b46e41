// Two processes of the application, one of each bundler, share one Redis: one quota.

import { type RedisServer, startRedis } from '../support/redis';
import { type App, startApp } from './support/app';
import { TOKEN } from './browser/operator-page';
import { burstByRedis } from './support/bursts';
import { limitsOf } from './support/headers';

let redis: RedisServer;
let apps: App[];
beforeAll(async () => {
  redis = await startRedis();
  const env = { REDIS_URL: redis.url, RATE_LIMIT_OPERATOR_TOKEN: TOKEN };
  apps = await Promise.all([startApp({ env }), startApp({ bundler: 'webpack', env })]);
});
afterAll(async () => {
  await Promise.all((apps ?? []).map((app) => app.stop()));
  await redis?.stop();
});

test('of 120 calls at once, 50 are admitted', async () => {
  expect(await burstByRedis(apps, 'shared', 120)).toEqual({ 200: 50, 429: 70 });
});

test('admissions of one process count in the other', async () => {
  const [one, other] = apps as [App, App];
  expect(limitsOf(await one.chat('seen', 'pro'))).toMatchObject({ limit: 100, remaining: 99 });
  expect(limitsOf(await other.chat('seen', 'pro'))).toMatchObject({ limit: 100, remaining: 98 });
  expect(limitsOf(await one.chat('seen', 'business'))).toMatchObject({ limit: 500, remaining: 497 });
});

test('every key has a TTL', () => {
  const ttls = Object.values(redis.ttls());
  expect(ttls.length).toBeGreaterThan(0);
  for (const ttl of ttls) expect(ttl).toBeGreaterThan(0);
});
