// Redis stops and restarts empty while two processes of the application serve.

import { setTimeout as sleep } from 'node:timers/promises';
import { type RedisServer, startRedis, startRedisOn } from '../support/redis';
import { type App, post, startApp } from './support/app';
import { TOKEN } from './browser/operator-page';
import { burst, burstByRedis } from './support/bursts';
import { limitsOf } from './support/headers';

/**
 * A check settles within its deadline of 250 ms, which is 25 iterations of a control that asks no limiter: one request
 * after another, 10 ms apart. A busy machine delays the check and its control alike, so iterations are counted and not
 * milliseconds.
 */
const CONTROL_PAUSE_MS = 10;
const MAX_CONTROL_ITERATIONS = 75;

/** Redis decides again within seconds, which the chaos tests verify: this bound only ends an endless wait. */
const RETURN_TIMEOUT_MS = 120_000;

let redis: RedisServer;
let apps: [App, App];
beforeAll(async () => {
  redis = await startRedis();
  const env = { REDIS_URL: redis.url, RATE_LIMIT_OPERATOR_TOKEN: TOKEN };
  apps = await Promise.all([startApp({ env }), startApp({ bundler: 'webpack', env })]);
});
afterAll(async () => {
  await Promise.all((apps ?? []).map((app) => app.stop()));
  await redis?.stop();
});

interface Call {
  readonly status: number;
  /** The iterations of the control while the check was in flight. */
  readonly controlIterations: number;
}

/** Sends a request, and counts the control's iterations at the same application until the response arrives. */
async function withControl(app: App, ask: () => Promise<Response>): Promise<Call> {
  let status: number | undefined;
  const pending = ask().then(async (response) => {
    await response.arrayBuffer();
    status = response.status;
  });
  let controlIterations = 0;
  while (status === undefined) {
    const control = await post(app.url, 'not JSON');
    await control.arrayBuffer();
    expect(control.status).toBe(400);
    await Promise.race([pending, sleep(CONTROL_PAUSE_MS)]);
    controlIterations += 1;
  }
  return { status, controlIterations };
}

/** Sends requests without a pause, as several clients do, until it is stopped; returns every response. */
function traffic(): () => Promise<Call[]> {
  const calls: Call[] = [];
  let stopped = false;
  const client = async (app: App, creatorId: (call: number) => string) => {
    for (let call = 0; !stopped; call++) {
      calls.push(await withControl(app, () => app.chat(creatorId(call), 'starter')));
      await sleep(5);
    }
  };
  // One creator who is soon denied, and many creators with a single call each.
  const clients = apps.flatMap((app, i) => [client(app, () => 'busy'), client(app, (call) => `calm-${i}-${call}`)]);
  return async () => {
    stopped = true;
    await Promise.all(clients);
    return calls;
  };
}

test('every call is answered, and admissions during the outage count afterwards', async () => {
  const [one, other] = apps;
  expect(await burstByRedis(apps, 'before', 60)).toEqual({ 200: 50, 429: 10 });
  const stopTraffic = traffic();
  await sleep(500);
  await redis.stop();

  // One process decides locally, by the same rules.
  for (let used = 1; used <= 30; used++) {
    const response = await one.chat('meanwhile', 'starter');
    await response.arrayBuffer();
    expect([response.status, limitsOf(response)]).toMatchObject([200, { limit: 50, remaining: 50 - used }]);
  }
  expect(await burst([one], 'used-up-meanwhile', 60)).toEqual({ 200: 50, 429: 10 });

  redis = await startRedisOn(redis.port);
  // For a creator without earlier requests two processes admit more than the limit, unless Redis decides for both.
  let admitted: number | undefined;
  const start = Date.now();
  for (let i = 0; admitted !== 50 && Date.now() - start < RETURN_TIMEOUT_MS; i++) {
    ({ 200: admitted } = await burst(apps, `afterwards-${i}`, 60));
  }
  expect(await burstByRedis(apps, 'again', 60)).toEqual({ 200: 50, 429: 10 });

  // The other process never served these requests: it knows of them from Redis alone.
  const known = await other.chat('meanwhile', 'starter');
  expect([known.status, limitsOf(known)]).toMatchObject([200, { limit: 50, remaining: 19 }]);
  expect((await other.chat('used-up-meanwhile', 'starter')).status).toBe(429);
  expect(await burst(apps, 'meanwhile', 60)).toEqual({ 200: 19, 429: 41 });

  const calls = await stopTraffic();
  expect(new Set(calls.map(({ status }) => status))).toEqual(new Set([200, 429]));
  expect(Math.max(...calls.map(({ controlIterations }) => controlIterations))).toBeLessThan(MAX_CONTROL_ITERATIONS);
}, 240_000);
