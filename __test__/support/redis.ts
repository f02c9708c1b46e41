import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RedisOptions } from '@huntaze/rate-limit';
import { HANG_MS } from './time';

const INSTALL =
  'redis-server is missing: install it with `apt-get install redis-server` (Debian, Ubuntu), `brew install redis` (macOS) or `apk add redis` (Alpine)';

/** A real Redis for one test file, on a free port, without data on disk. */
export interface RedisServer {
  readonly port: number;
  readonly url: string;
  /** The value of the `redis` option if it is no URL. Neither contains a password that the spec has set. */
  readonly options: RedisOptions;
  /** Runs redis-cli on it and returns the output. */
  cli(...args: string[]): string;
  /** The number of connections, without the one of this query. */
  connections(): number;
  /** Every key with its TTL in ms; -1 is a key without a TTL. */
  ttls(): Record<string, number>;
  stop(): Promise<void>;
}

/** The last error of a server whose port was taken by another process. */
const TAKEN = /Address already in use|Failed listening/;
const ATTEMPTS = 5;

export async function startRedis(...options: string[]): Promise<RedisServer> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await startRedisOn(await freePort(), ...options);
    } catch (error) {
      if (attempt === ATTEMPTS || !TAKEN.test((error as Error).message)) throw error;
    }
  }
}

/** On a given port: for a restarted server. */
export async function startRedisOn(port: number, ...options: string[]): Promise<RedisServer> {
  const dir = mkdtempSync(join(tmpdir(), 'rate-limit-redis-'));
  const child = spawn(
    'redis-server',
    ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', dir, ...options],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  // The server is killed when this process exits for any reason.
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  await ready(child);
  const cli = (...args: string[]) =>
    execFileSync('redis-cli', ['-p', `${port}`, ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    }).trim();
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    options: { host: '127.0.0.1', port, connectTimeoutMs: HANG_MS },
    cli,
    connections: () => Number(/connected_clients:(\d+)/.exec(cli('info', 'clients'))![1]) - 1,
    ttls() {
      const keys = cli('--scan').split('\n').filter(Boolean);
      return Object.fromEntries(keys.map((key) => [key, Number(cli('pttl', key))]));
    },
    async stop() {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await gone;
      process.removeListener('exit', kill);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let printed = '';
    child.stdout?.on('data', (chunk) => {
      printed += chunk;
      if (printed.includes('Ready to accept connections')) resolve();
    });
    child.once('error', (error: NodeJS.ErrnoException) => reject(error.code === 'ENOENT' ? new Error(INSTALL) : error));
    child.once('exit', (code) => reject(new Error(`redis-server ended with ${code}:\n${printed}`)));
  });
}

/**
 * The ports that are tried, by Jest worker: below the range of ephemeral ports, so that no other process on the machine
 * is given one between the check and the use, nor while a test needs a closed port.
 */
const [LOWEST, HIGHEST, PER_WORKER] = [15_000, 31_000, 1000];
const worker = Number(process.env.JEST_WORKER_ID ?? 1) % ((HIGHEST - LOWEST) / PER_WORKER);
// Another concurrent run begins elsewhere.
let next = Math.floor(Math.random() * PER_WORKER);

/** A closed port; good for servers and for refusals. */
export async function freePort(): Promise<number> {
  for (let i = 0; i < PER_WORKER; i++) {
    const port = LOWEST + worker * PER_WORKER + (next++ % PER_WORKER);
    const server = createServer();
    const free = await new Promise((resolve) => {
      server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!free) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
  throw new Error('no port is free');
}
