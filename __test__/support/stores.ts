import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RedisOptions } from '@huntaze/rate-limit';
import { freePort, startRedis, type RedisServer } from './redis';
import { HANG_MS } from './time';

export { pass } from './time';

/** A store that a suite runs over. */
export interface StoreUnderTest {
  readonly name: string;
  /** The source of its decisions. */
  readonly source: 'memory' | 'redis';
  start(): Promise<void>;
  /** The value of the `redis` option. */
  redis(): RedisOptions | undefined;
  stop(): Promise<void>;
}

const PASSWORD = 'correct-horse-battery-staple';
const tlsFile = (name: string) => join(__dirname, '../fixtures/tls', name);

function overRedis(name: string, start: () => Promise<[RedisServer, RedisOptions]>): StoreUnderTest {
  let running: [RedisServer, RedisOptions];
  return {
    name,
    source: 'redis',
    start: async () => {
      running = await start();
    },
    redis: () => running[1],
    stop: () => running[0].stop(),
  };
}

const memory: StoreUnderTest = {
  name: 'memory',
  source: 'memory',
  start: async () => {},
  redis: () => undefined,
  stop: async () => {},
};

const redis = overRedis('redis', async () => {
  const server = await startRedis();
  return [server, { url: server.url, connectTimeoutMs: HANG_MS }];
});

export const overTls = overRedis('redis over TLS with a password', async () => {
  const port = await freePort();
  const server = await startRedis(
    ...['--requirepass', PASSWORD, '--tls-port', `${port}`, '--tls-auth-clients', 'no'],
    ...[
      '--tls-cert-file',
      tlsFile('server.pem'),
      '--tls-key-file',
      tlsFile('server.key'),
      '--tls-ca-cert-file',
      tlsFile('ca.pem'),
    ],
  );
  const tls = { ca: readFileSync(tlsFile('ca.pem'), 'utf8'), servername: 'redis.test' };
  return [server, { host: '127.0.0.1', port, password: ['rotated-away', PASSWORD], tls, connectTimeoutMs: HANG_MS }];
});

/**
 * The stores over which suites of decisions run. Other kinds of Redis are covered by flavours.spec.ts, and by the
 * contract in Rust.
 */
export const stores = [memory, redis];

let count = 0;

/** An id that no other test uses, in this process or another. */
export function freshId(): string {
  return `test-${process.pid}-${Date.now().toString(36)}-${count++}`;
}
