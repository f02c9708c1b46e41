import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const INSTALL =
  'redis-server is missing: install it with `apt-get install redis-server` (Debian, Ubuntu), `brew install redis` (macOS) or `apk add redis` (Alpine)';

/** A real Redis of one test file's own, on a free port, with nothing on disk. */
export interface RedisServer {
  readonly port: number;
  readonly url: string;
  /** Runs redis-cli on it and returns what it prints. */
  cli(...args: string[]): string;
  /** Every key with its TTL in ms; -1 is a key that lives forever. */
  ttls(): Record<string, number>;
  stop(): Promise<void>;
}

export async function startRedis(...options: string[]): Promise<RedisServer> {
  return startRedisOn(await freePort(), ...options);
}

/** The same where one has been before, as when a server is started again. */
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
    cli,
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
