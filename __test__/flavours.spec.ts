// Every kind of Redis, from the environment variables to the end of the process. The decisions of a check are tested in
// Rust, whose contract runs over all of them, and failures by chaos.

import { execFile, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import {
  RateLimitError,
  RateLimiter,
  checkCreatorRateLimit,
  close,
  configure,
  testConnection,
} from '@huntaze/rate-limit';
import { redisOptions } from './fixtures/redis-options.cjs';
import { Cluster, SHARDS, Single, caFile, type Servers } from './servers/index.cjs';
import { freePort, startRedis } from './support/redis';
import { freshId } from './support/stores';
import { HANG_MS, despiteConnectTimeouts } from './support/time';

const PACKAGE = JSON.stringify(join(__dirname, '..'));
const REDIS_OPTIONS = JSON.stringify(join(__dirname, 'fixtures/redis-options.cjs'));
const PROCESSES = 4;
const WORKERS = 5;

/** Long, so that a busy machine causes no failover: failovers are tested elsewhere. */
const STEADY = { nodeTimeoutMs: 20_000 };
const USER = { username: 'limiter', password: 'pw-of-the-limiter' };

interface Flavour {
  /** The servers that decide; a limiter has a connection to each. */
  readonly primaries: number;
  /** The environment variables for it, read at the first request. */
  readonly variables: Record<string, string>;
  /** The number of connections on each server that belong to this test's limiters. */
  connections(): Promise<number[]>;
  stop(): Promise<void>;
}

async function plain(): Promise<Flavour> {
  const server = await startRedis();
  return {
    primaries: 1,
    variables: { REDIS_HOST: '127.0.0.1', REDIS_PORT: `${server.port}` },
    connections: async () => [server.connections()],
    stop: () => server.stop(),
  };
}

function of(servers: Servers, primaries: number, secure: boolean): Flavour {
  return {
    primaries,
    variables: {
      REDIS_HOST: secure ? 'localhost' : '127.0.0.1',
      REDIS_PORT: `${servers.seed}`,
      ...(secure && {
        REDIS_TLS: 'true',
        REDIS_USERNAME: USER.username,
        REDIS_PASSWORD: USER.password,
        NODE_EXTRA_CA_CERTS: caFile,
      }),
    },
    connections: () =>
      Promise.all(
        servers.nodes.slice(0, primaries).map(async (node) => {
          const list = String(await node.send('CLIENT', 'LIST', 'TYPE', 'NORMAL'))
            .split('\n')
            .filter(Boolean);
          // The tests' own commands use a Unix socket, which has a flag in the list.
          return list.filter((line) => !/ flags=\w*U/.test(line)).length;
        }),
      ),
    stop: () => servers.stop(),
  };
}

async function overTls(): Promise<Flavour> {
  const options = { tls: true, ...USER, port: await freePort() };
  return of(await Single.start(options), 1, true);
}

const flavours: [string, () => Promise<Flavour>][] = [
  ['one Redis', plain],
  ['one Redis over TLS with users', overTls],
  ['a cluster', async () => of(await Cluster.start(STEADY), SHARDS, false)],
  [
    'a cluster over TLS with users, by its names',
    async () => of(await Cluster.start({ tls: true, ...USER, hostNames: 'localhost', ...STEADY }), SHARDS, true),
  ],
];

describe.each(flavours)('%s', (_, start) => {
  const before = process.env;
  let flavour: Flavour;

  beforeAll(async () => {
    flavour = await start();
  });
  afterAll(() => flavour?.stop());
  beforeEach(() => {
    const others = Object.entries(before).filter(([name]) => !/REDIS|ELASTICACHE|NODE_EXTRA_CA_CERTS/.test(name));
    process.env = { ...Object.fromEntries(others), ...flavour.variables };
  });
  afterEach(async () => {
    await close();
    process.env = before;
  });

  function limiter(name = freshId(), limit = 3, redis = redisOptions()): RateLimiter {
    const options = { name, limit, windowMs: 600_000, onStoreError: 'throw', timeoutMs: HANG_MS } as const;
    return new RateLimiter({ ...options, redis, anomaly: false });
  }

  async function noneLeft() {
    for (const end = performance.now() + HANG_MS; performance.now() < end;) {
      if ((await flavour.connections()).every((count) => count === 0)) return;
    }
    throw new Error(`${await flavour.connections()} connections are left`);
  }

  /** Runs a script in its own process and returns its output, and its exit code if it is not 0. */
  async function run(script: string, ...flags: string[]): Promise<string> {
    const source = `const limits = require(${PACKAGE});\nlimits.configure({ redis: require(${REDIS_OPTIONS}).redisOptions(), timeoutMs: ${HANG_MS} });\n${script}`;
    const args = [...flags, '-e', source];
    return promisify(execFile)(process.execPath, args, { env: process.env, timeout: 2 * HANG_MS }).then(
      ({ stdout, stderr }) => `${stdout}${stderr}`.trim(),
      ({ code, stdout, stderr }) => `${stdout}${stderr} ${code}`.trim(),
    );
  }

  test('environment variables alone configure it', async () => {
    const l = new RateLimiter({
      name: freshId(),
      limit: 3,
      windowMs: 600_000,
      onStoreError: 'throw',
      timeoutMs: HANG_MS,
    });
    expect((await despiteConnectTimeouts(() => l.limit(freshId()))).source).toBe('redis');
    await l.close();
    await noneLeft();
  });

  test('checks, denies, reports status, resets and closes', async () => {
    const l = limiter();
    // More than there are shards, so that each decides some.
    const ids = Array.from({ length: 20 }, freshId);
    for (const id of ids) {
      expect(await l.limit(id)).toMatchObject({ allowed: true, remaining: 2, source: 'redis' });
      await l.check(id);
      await l.check(id);
      await expect(l.check(id)).rejects.toThrow(RateLimitError);
      expect(await l.status(id)).toMatchObject({ limit: 3, remaining: 0 });
    }
    for (const id of ids) {
      await l.reset(id);
      expect(await l.limit(id)).toMatchObject({ allowed: true, remaining: 2, source: 'redis' });
    }
    await l.close();
    await noneLeft();
  });

  test('testConnection uses the connection of the checks', async () => {
    configure({ redis: redisOptions(), timeoutMs: HANG_MS });
    await checkCreatorRateLimit(freshId());
    const report = await testConnection({ timeoutMs: HANG_MS });
    // The limiter's user has the permissions of a limiter, and SET is not among them.
    const due =
      'REDIS_USERNAME' in flavour.variables ? { success: false, code: 'NOPERM' } : { success: true, ping: 'PONG' };
    expect(report).toMatchObject({ ...due, connection: { port: expect.stringMatching(/^\d+$/) } });
    expect(Math.max(...(await flavour.connections()))).toBe(1);
    await close();
    await noneLeft();
  });

  test('limiters share one connection to each server, and close() lets checks in flight settle', async () => {
    const limiters = Array.from({ length: 3 }, () => limiter(freshId(), 100));
    const ids = Array.from({ length: 20 }, freshId);
    await Promise.all(limiters.flatMap((l) => ids.map((id) => l.check(id))));
    expect(await flavour.connections()).toEqual(Array(flavour.primaries).fill(1));
    const inFlight = limiters.flatMap((l) => ids.flatMap((id) => Array.from({ length: 10 }, () => l.limit(id))));
    let settled = 0;
    for (const check of inFlight) void check.then(() => settled++);
    await Promise.all(limiters.map((l) => l.close()));
    expect(settled).toBe(inFlight.length);
    expect((await Promise.all(inFlight)).every(({ source }) => source === 'redis')).toBe(true);
    await noneLeft();
  });

  test('concurrent processes with one creator admit exactly the limit', async () => {
    const hammers = Array.from({ length: PROCESSES }, () => {
      const file = join(__dirname, 'fixtures/concurrent-checks.cjs');
      const child = spawn(process.execPath, [file], { env: process.env, stdio: ['pipe', 'pipe', 'inherit'] });
      return { child, answers: createInterface({ input: child.stdout })[Symbol.asyncIterator]() };
    });
    const creator = freshId();
    const answered = await Promise.all(
      hammers.map(async ({ child, answers }) => {
        child.stdin.write(`${creator} pro 100\n`);
        return JSON.parse((await answers.next()).value) as { allowed: number; denied: number };
      }),
    );
    const sum = (part: 'allowed' | 'denied') => answered.reduce((total, one) => total + one[part], 0);
    expect([sum('allowed'), sum('denied')]).toEqual([100, (PROCESSES - 1) * 100]);
    await Promise.all(hammers.map(({ child }) => new Promise((resolve) => child.once('exit', resolve).stdin.end())));
  });

  test('a process ends by itself, or by process.exit, with checks in flight', async () => {
    expect(
      await Promise.all([
        run(`limits.checkCreatorRateLimit('${freshId()}').then(() => console.log('allowed'));`),
        run(`for (let i = 0; i < 500; i++) limits.checkCreatorRateLimit(i).catch(() => {});
             setImmediate(() => process.exit(7));`),
      ]),
    ).toEqual(['allowed', '7']);
    await noneLeft();
  });

  test('workers are terminated with checks in flight, and the checks of the process continue', async () => {
    const own = limiter(freshId(), 1000);
    for (let i = 0; i < WORKERS; i++) {
      const worker = new Worker(
        `const limits = require(${PACKAGE});
         const limiter = new limits.RateLimiter({ name: 'workers', limit: 10, windowMs: 60000, anomaly: false });
         const ask = () => { for (let i = 0; i < 200; i++) limiter.check(i).catch(() => {}); setImmediate(ask); };
         ask();
         require('node:worker_threads').parentPort.postMessage('asking');`,
        { eval: true, env: process.env },
      );
      await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
      const checks = Promise.all(Array.from({ length: 100 }, (_, n) => own.limit(`own-${n}`)));
      await worker.terminate();
      expect((await checks).every(({ source }) => source === 'redis')).toBe(true);
    }
    await own.close();
    await noneLeft();
  });

  test('an unreferenced copy of the package is collected with its connections', async () => {
    const fixture = join(__dirname, 'fixtures/garbage-collection.cjs');
    const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', fixture], { env: process.env });
    expect(stdout.trim()).toBe('collected');
  });
});
