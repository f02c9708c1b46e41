import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RedisOptions } from '@huntaze/rate-limit';
import { flavoured } from './flavours';

const INSTALL =
  'redis-server is missing: install it with `apt-get install redis-server` (Debian, Ubuntu), `brew install redis` (macOS) or `apk add redis` (Alpine)';

/** A real Redis of one test file's own, on a free port, with nothing on disk: one server, or what TEST_REDIS says. */
export interface RedisServer {
  readonly port: number;
  readonly url: string;
  /** What goes into the `redis` option where it is no URL. */
  readonly options: RedisOptions;
  /** The same as variables. A password that the spec has asked for is in none of the three. */
  readonly variables: Record<string, string>;
  /** Runs redis-cli on it and returns what it prints. */
  cli(...args: string[]): string;
  /** How many it has, but for those of the tests; of several nodes, the one that has the most. */
  connections(): number;
  /** Every key with its TTL in ms; -1 is a key that lives forever. */
  ttls(): Record<string, number>;
  stop(): Promise<void>;
}

export async function startRedis(...options: string[]): Promise<RedisServer> {
  const start = flavoured();
  return start ? start(options) : startRedisOn(await freePort(), ...options);
}

/** A plain one, on a port that is given: as when a server is started again, or where the options say what it is. */
export async function startRedisOn(port: number, ...options: string[]): Promise<RedisServer> {
  const dir = mkdtempSync(join(tmpdir(), 'rate-limit-redis-'));
  const child = spawn(
    'redis-server',
    ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', dir, ...options],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  // Whatever ends this process, the server goes with it.
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
    options: { host: '127.0.0.1', port },
    variables: { REDIS_HOST: '127.0.0.1', REDIS_PORT: `${port}` },
    cli,
    // Less the one that asks.
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

/** A port nobody listens on; good for servers and for refusals. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
