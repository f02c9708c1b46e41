import { spawn } from 'node:child_process';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { join } from 'node:path';
import { freePort, startRedis, type RedisServer } from '../support/redis';
import { HANG_MS } from '../support/time';

const PACKAGE = JSON.stringify(join(__dirname, '../..'));
const REDIS_OPTIONS = JSON.stringify(join(__dirname, '../fixtures/redis-options.cjs'));

/** Runs a script in its own process and returns how it ended. A process that does not end by itself is killed. */
function run(
  script: string,
  env: Record<string, string> = {},
): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, ['-e', `const limits = require(${PACKAGE});\n${script}`], {
    env: { ...process.env, REDIS_URL: '', ...env },
    timeout: HANG_MS,
  });
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk) => (out += chunk));
  child.stderr.on('data', (chunk) => (err += chunk));
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, out: out.trim(), err: err.trim() })));
}

let redis: RedisServer;
let hole: Server;

beforeAll(async () => {
  redis = await startRedis();
  hole = createServer((socket) => socket.on('error', () => {}).resume());
  await new Promise<void>((resolve) => hole.listen(0, '127.0.0.1', resolve));
});
afterAll(async () => {
  await redis.stop();
  await new Promise((resolve) => hole.close(resolve));
});

test.each(['memory', 'redis'])('a script that made one check ends by itself: %s', async (store) => {
  const env: Record<string, string> = store === 'redis' ? { REDIS_URL: redis.url } : {};
  const script = `limits.checkCreatorRateLimit(1).then(() => console.log('allowed'));`;
  expect(await run(script, env)).toEqual({ code: 0, out: 'allowed', err: '' });
});

test('a check in flight keeps the process alive until it settles', async () => {
  const { port } = hole.address() as AddressInfo;
  const script = `
    limits.configure({ redis: { host: '127.0.0.1', port: ${port} }, onStoreError: 'throw', timeoutMs: 100 });
    limits.checkCreatorRateLimit(1).catch((error) => console.log(error.code));`;
  expect(await run(script)).toEqual({ code: 0, out: 'ETIMEDOUT', err: '' });
});

test('an idle limiter with an open connection does not keep it alive', async () => {
  const script = `
    const limiter = new limits.RateLimiter({
      name: 'idle', limit: 5, windowMs: 1000, redis: require(${REDIS_OPTIONS}).redisOptions(), timeoutMs: ${HANG_MS} });
    limiter.limit(1).then((d) => { globalThis.kept = limiter; console.log(d.source); });`;
  expect(await run(script, { REDIS_URL: redis.url })).toEqual({ code: 0, out: 'redis', err: '' });
});

test('neither does a pending log line', async () => {
  const away = await freePort();
  const script = `
    const flood = new limits.RateLimiter({ name: 'flood', limit: 1, windowMs: 60000 });
    const gone = new limits.RateLimiter({
      name: 'gone', limit: 1, windowMs: 60000, timeoutMs: ${HANG_MS}, redis: { host: '127.0.0.1', port: ${away} } });
    globalThis.kept = [flood, gone];
    (async () => {
      while (!gone.getMetrics().store.away) await gone.limit('x');
      for (let i = 0; i < 3 * 50; i++) await flood.limit(i % 50);
      await new Promise((resolve) => setImmediate(resolve));
    })();`;
  const { code, out, err } = await run(script);
  expect({ code, out }).toEqual({ code: 0, out: '' });
  const lines = err.split('\n');
  expect(lines.filter((line) => line.includes('Redis is away'))).toHaveLength(1);
  expect(lines.filter((line) => line.includes('Anomaly detected')).length).toBeGreaterThanOrEqual(10);
  // The line with the number of further anomalies was not waited for.
  expect(lines.filter((line) => / more anomal/.test(line))).toEqual([]);
});

test('process.exit with checks in flight is a clean end', async () => {
  const script = `
    for (let i = 0; i < 500; i++) limits.checkCreatorRateLimit(i).catch(() => {});
    setImmediate(() => process.exit(7));`;
  expect(await run(script, { REDIS_URL: redis.url })).toEqual({ code: 7, out: '', err: '' });
});

test('close() before the end counts every denial, the cached ones too', async () => {
  const script = `
    const limiter = new limits.RateLimiter({
      name: 'closing', limit: 50, windowMs: 3600000, denyCacheMs: 60000,
      redis: require(${REDIS_OPTIONS}).redisOptions(), timeoutMs: ${HANG_MS} });
    (async () => {
      let cached = 0;
      for (let i = 0; i < 91; i++) cached += (await limiter.limit('id')).source === 'deny-cache';
      await limiter.close();
      console.log(cached);
      process.exit(0);
    })();`;
  expect(await run(script, { REDIS_URL: redis.url })).toEqual({ code: 0, out: '40', err: '' });
  // The anomaly record of 41 denials: denied, opened, reported.
  expect(redis.cli('lindex', '{closing:id}', '0')).toMatch(/^41:\d+:0$/);
});

test('the last anomaly of a script is logged before it ends', async () => {
  const script = `
    limits.configure({ plans: { starter: 1 } });
    for (let i = 0; i < 3; i++) limits.checkCreatorRateLimit('last', 'starter').catch(() => {});`;
  const { code, err } = await run(script);
  expect(code).toBe(0);
  expect(err).toContain('[AI Rate Limit] Anomaly detected');
  expect(err).toContain("creatorId: 'last'");
});

test('it works without a console', async () => {
  const script = `
    delete globalThis.console;
    limits.configure({ plans: { starter: 1 } });
    (async () => {
      for (let i = 0; i < 5; i++) await limits.checkCreatorRateLimit(1, 'starter').catch(() => {});
      process.stdout.write('done');
    })();`;
  expect(await run(script)).toEqual({ code: 0, out: 'done', err: '' });
});

test('import and require give the same classes', async () => {
  const script = `
    import(${PACKAGE} + '/index.js').then((imported) => {
      for (const name of Object.keys(limits)) if (imported[name] !== limits[name]) throw new Error(name);
      console.log(Object.keys(limits).length);
    });`;
  expect(await run(script)).toEqual({ code: 0, out: '19', err: '' });
});
