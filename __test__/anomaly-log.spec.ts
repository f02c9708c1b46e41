import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { startRedis, type RedisServer } from './support/redis';
import { HANG_MS } from './support/time';

// The log lines for anomalies without a listener. Each test runs in its own process, because the bound is per process.

const PACKAGE = JSON.stringify(join(__dirname, '..'));

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());

/**
 * Runs `script` as the body of an async function with `limits` and `flood`; returns the lines it printed and the lines of
 * its log. Its process ends when the log is complete: a number of anomalies that follows another within a second is logged
 * by a timer, not at `close()`.
 */
async function run(script: string, isComplete = (_log: string[]) => true): Promise<{ out: string[]; log: string[] }> {
  const head = `
    const limits = require(${PACKAGE});
    const options = { limit: 1, windowMs: 600000, timeoutMs: ${HANG_MS}, denyCacheMs: 0 };
    /** Each id makes one request more than the anomaly threshold. */
    async function flood(limiter, ids, first = 0) {
      for (let round = 0; round < 3; round++)
        await Promise.all(Array.from({ length: ids }, (_, i) => limiter.limit('id-' + (first + i))));
    }`;
  const untilInputEnds = "await new Promise((resolve) => process.stdin.once('end', resolve).resume());";
  const child = spawn(process.execPath, ['-e', `${head}\n(async () => {${script}\n${untilInputEnds}})();`], {
    env: { ...process.env, REDIS_URL: '' },
    timeout: HANG_MS,
  });
  const lines = (text: string) => text.split('\n').filter(Boolean);
  let [out, err] = ['', ''];
  const endInput = () => isComplete(lines(err)) && child.stdin.end();
  child.stdout.on('data', (chunk) => (out += chunk));
  child.stderr.on('data', (chunk) => {
    err += chunk;
    endInput();
  });
  endInput();
  const code = await new Promise((resolve) => child.once('close', resolve));
  if (code !== 0) throw new Error(`it ended with ${String(code)}: ${err}`);
  return { out: lines(out), log: lines(err) };
}

const detected = (log: string[]) => log.filter((line) => line.startsWith('[AI Rate Limit] Anomaly detected { '));
const more = (log: string[]) =>
  log.flatMap((line) => /^\[AI Rate Limit\] (\d+) more anomal(?:y|ies) detected$/.exec(line)?.[1] ?? []).map(Number);

/** The number of anomalies that the log tells of. */
const logged = (log: string[]) => more(log).reduce((sum, n) => sum + n, detected(log).length);

describe.each(['memory', 'redis'])('on %s', (store) => {
  const server = () => (store === 'redis' ? `redis: ${JSON.stringify({ url: redis.url })}` : '');

  test('a flood logs ten lines, and at close() one with the number of the others', async () => {
    const { out, log } = await run(
      `
      const limiter = new limits.RateLimiter({ name: 'flood', ...options, ${server()} });
      let counted = false;
      const { warn } = console;
      console.warn = (...line) => { counted ||= / more /.test(line[0]); warn(...line); };
      await flood(limiter, 3000);
      await limiter.close();
      console.log(limiter.getMetrics().anomalies, counted);`,
      (log) => logged(log) >= 3000,
    );
    expect(out).toEqual(['3000 true']);
    // The machine may take longer than a second for it.
    expect(detected(log).length).toBeGreaterThanOrEqual(10);
    expect(detected(log).length).toBeLessThan(1000);
    expect(logged(log)).toBe(3000);
    // No other output, and each anomaly is one line.
    expect(detected(log).length + more(log).length).toBe(log.length);
  });

  test('with a listener every anomaly is reported, and none logged', async () => {
    const { out, log } = await run(`
      const limiter = new limits.RateLimiter({ name: 'heard', ...options, ${server()} });
      let heard = 0;
      limiter.onAnomaly(() => heard++);
      await flood(limiter, 3000);
      while (heard < 3000) await new Promise((resolve) => setTimeout(resolve, 5));
      await limiter.close();
      console.log(heard);`);
    expect(out).toEqual(['3000']);
    expect(log).toEqual([]);
  });
});

test('while the limiter stays open, a timer logs the number, and fake timers do not affect it', async () => {
  const { log } = await run(`
    const limiter = new limits.RateLimiter({ name: 'open', ...options });
    const { setTimeout } = globalThis;
    globalThis.setTimeout = () => { throw new Error('replaced'); };
    let said = false;
    const { warn } = console;
    console.warn = (...line) => { said ||= / more /.test(line[0]); warn(...line); };
    await flood(limiter, 50);
    while (!said) await new Promise((resolve) => setTimeout(resolve, 5));`);
  // After a second the bound allows more lines.
  expect(detected(log).length).toBeGreaterThanOrEqual(10);
  expect(logged(log)).toBe(50);
});

test('all limiters, threads and copies of the module share the bound, and no anomaly is lost', async () => {
  const { log } = await run(
    `
    const { Worker } = require('node:worker_threads');
    const limiters = ['a', 'b'].map((name) => new limits.RateLimiter({ name, ...options }));
    for (const path of Object.keys(require.cache)) if (!path.endsWith('.node')) delete require.cache[path];
    const copy = require(${PACKAGE});
    if (copy.RateLimiter === limits.RateLimiter) throw new Error('it is no copy');
    limiters.push(new copy.RateLimiter({ name: 'c', ...options }));
    const worker = new Worker(
      'const { RateLimiter } = require(' + JSON.stringify(${PACKAGE}) + ');' + flood +
      'const limiter = new RateLimiter({ name: "d", ...' + JSON.stringify(options) + ' });' +
      'flood(limiter, 100).then(() => limiter.close());', { eval: true });
    const ended = new Promise((resolve) => worker.once('exit', resolve));
    await Promise.all(limiters.map((limiter) => flood(limiter, 100)));
    await ended;
    await Promise.all(limiters.map((limiter) => limiter.close()));`,
    (log) => logged(log) >= 400,
  );
  expect(logged(log)).toBe(400);
  expect(detected(log).length).toBeLessThan(100);
});

test('an id of any length and kind is one line, and cannot forge another', async () => {
  const { log } = await run(String.raw`
    const limiter = new limits.RateLimiter({ name: 'lines', ...options });
    for (const id of ['7\n[AI Rate Limit] forged', 'x'.repeat(256), '\u001b[2J', "'\u2028"])
      for (let i = 0; i < 3; i++) await limiter.limit(id);
    await limiter.close();`);
  expect(detected(log)).toHaveLength(4);
  expect(log).toHaveLength(4);
  for (const line of log) expect(line).toMatch(/^[\x20-\x7e]+$/);
  expect(log[1]).toContain(`creatorId: '${'x'.repeat(256)}', requestsIn5Min: 3, threshold: 2, timestamp: '2`);
});

test('a console that throws, or a missing one, breaks nothing', async () => {
  const { out, log } = await run(`
    const { console } = globalThis;
    const { warn } = console;
    console.warn = () => { throw new Error('no console'); };
    const limiter = new limits.RateLimiter({ name: 'thrown', ...options });
    await flood(limiter, 20);
    await limiter.close();
    console.warn = warn;
    globalThis.console = undefined;
    await flood(limiter, 20, 20);
    await limiter.close();
    globalThis.console = console;
    console.log(limiter.getMetrics().anomalies);`);
  expect(out).toEqual(['40']);
  expect(log).toEqual([]);
});

test('a listener removed before it is called: the anomaly is logged, within the bound', async () => {
  const { log } = await run(
    `
    const limiter = new limits.RateLimiter({ name: 'gone', ...options });
    const off = limiter.onAnomaly(() => { throw new Error('it has gone'); });
    const asked = [];
    for (let i = 0; i < 3 * 30; i++) asked.push(limiter.limit(i % 30));
    off();
    await Promise.all(asked);
    await limiter.close();`,
    (log) => logged(log) >= 30,
  );
  expect(detected(log).length).toBeGreaterThanOrEqual(10);
  expect(logged(log)).toBe(30);
});

test('listeners that fail each time do not flood the log', async () => {
  const { out, log } = await run(`
    const limiter = new limits.RateLimiter({ name: 'failing', ...options });
    let heard = 0;
    limiter.onAnomaly(() => { heard++; throw 'thrown'; });
    limiter.onAnomaly(() => Promise.reject('rejected'));
    const begun = performance.now();
    await flood(limiter, 500);
    while (heard < 500) await new Promise((resolve) => setTimeout(resolve, 5));
    console.log(Math.ceil((performance.now() - begun) / 1000));`);
  expect(log.length).toBeGreaterThanOrEqual(10);
  expect(log.length).toBeLessThanOrEqual(10 * Number(out[0]));
});
