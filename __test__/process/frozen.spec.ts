import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { RedisOptions } from '@huntaze/rate-limit';
import { Cluster, Single, caFile, type Servers } from '../servers/index.cjs';
import { startRedis, type RedisServer } from '../support/redis';
import { HANG_MS, pass, until } from '../support/time';

// A process that is stopped during its first connect resumes with expired timers, before it has read the server's
// replies.

const FROZEN = join(__dirname, '../fixtures/frozen.cjs');
const TIMES = 4;
/** Longer than the default of `connectTimeoutMs`. */
const STOPPED_MS = 1050;
const ONE_WAY_MS = 7.5;

let plain: RedisServer;
let secure: Servers;
let cluster: Servers;
let away: Server;
const sockets = new Set<Socket>();

beforeAll(async () => {
  [plain, secure, cluster] = await Promise.all([
    startRedis(),
    Single.start({ username: 'app', password: 'frozen-password' }),
    Cluster.start({}),
  ]);
  away = createServer((near) => {
    const far = connect(plain.port, '127.0.0.1');
    forward(near, far);
    forward(far, near);
  });
  await once(away.listen(0, '127.0.0.1'), 'listening');
}, HANG_MS);

afterAll(async () => {
  away.close();
  for (const socket of sockets) socket.destroy();
  await Promise.all([plain.stop(), secure.stop(), cluster.stop()]);
});

function forward(from: Socket, to: Socket): void {
  sockets.add(from);
  from.setNoDelay(true);
  from.on('data', (bytes) => setTimeout(() => to.write(bytes), ONE_WAY_MS));
  from.on('error', () => to.destroy());
  from.on('close', () => to.destroy());
}

/** The sources of five checks of a process that resumes after a stop. */
async function afterTheStop(redis: RedisOptions): Promise<string> {
  const child = spawn(process.execPath, [FROZEN, JSON.stringify({ redis, timeoutMs: HANG_MS })]);
  let printed = '';
  child.stdout.on('data', (text) => (printed += text));
  child.stderr.on('data', (text) => (printed += text));
  await until(() => /\) T /.test(readFileSync(`/proc/${child.pid}/stat`, 'utf8')));
  await pass(STOPPED_MS);
  child.kill('SIGCONT');
  await once(child, 'close');
  return printed.trim();
}

const login = { username: 'app', password: 'frozen-password' };
const endpoints: [string, () => RedisOptions][] = [
  ['a local server', () => ({ host: '127.0.0.1', port: plain.port })],
  ['a server 15 ms away', () => ({ host: '127.0.0.1', port: (away.address() as AddressInfo).port })],
  [
    'a server over TLS',
    () => ({ host: 'localhost', port: secure.seed, ...login, tls: { ca: readFileSync(caFile, 'utf8') } }),
  ],
  ['a cluster', () => ({ host: '127.0.0.1', port: cluster.seed })],
];

test.each(endpoints)(
  'a stop during the first connect to %s is no verdict on it',
  async (_, options) => {
    const decided = await Promise.all(Array.from({ length: TIMES }, () => afterTheStop(options())));
    expect(decided).toEqual(Array(TIMES).fill('redis redis redis redis redis'));
  },
  HANG_MS,
);
