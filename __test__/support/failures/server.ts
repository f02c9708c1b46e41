import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { connect } from 'node:net';
import { freePort, type RedisServer } from '../redis';
import { at, until, type Failure, type Op, type Fixture } from './fixture';

/** Reads are served, and a reset frees memory. */
const ADMISSIONS: Op[] = ['limit', 'check'];
const WRITES: Op[] = ['limit', 'check', 'reset'];

/** Real servers that refuse, each for another reason. */
export const server: Failure[] = [
  {
    name: 'a replica',
    code: 'READONLY',
    ops: WRITES,
    async arrange(fixture) {
      // By default it would wait for further replicas.
      const primary = await fixture.redis('--repl-diskless-sync-delay', '0');
      const auth = fixture.password === undefined ? [] : ['--masterauth', fixture.password];
      const replica = await fixture.redis('--replicaof', '127.0.0.1', `${primary.port}`, ...auth);
      // Until the first synchronization it is loading.
      await until(() => /master_link_status:up/.test(replica.cli('info', 'replication')));
      return at(replica.port);
    },
  },
  {
    name: 'a server that is loading its data',
    code: 'LOADING',
    async arrange(fixture) {
      const slow = ['--enable-debug-command', 'yes', '--key-load-delay', '500'];
      // It processes events while loading after so many bytes: by default every 2 MB, which this data never reaches.
      const server = await fixture.redis(...slow, '--loading-process-events-interval-bytes', '1024');
      // Half a millisecond a key: it loads for half a minute, or until the fixture ends.
      server.cli('debug', 'populate', '60000');
      inBackground(fixture, server, 'debug', 'reload');
      await until(() => /^loading:1/m.test(server.cli('info', 'persistence')));
      return at(server.port);
    },
  },
  {
    name: 'a replica that has lost its primary and serves no stale data',
    code: 'LOADING',
    async arrange(fixture) {
      const unusedPort = await freePort();
      const stale = ['--replica-serve-stale-data', 'no'];
      return at((await fixture.redis('--replicaof', '127.0.0.1', `${unusedPort}`, ...stale)).port);
    },
  },
  {
    name: 'a server out of memory',
    code: 'OOM',
    ops: ADMISSIONS,
    async arrange(fixture) {
      const server = await fixture.redis();
      server.cli('config', 'set', 'maxmemory', '1');
      return at(server.port);
    },
  },
  {
    name: 'a server at its connection limit',
    code: 'MAXCLIENTS',
    orElse: 'ECONNRESET',
    async arrange(fixture) {
      const server = await fixture.redis('--maxclients', '1');
      const only = connect(server.port, '127.0.0.1').on('error', () => {});
      fixture.atEnd(() => only.destroy());
      await new Promise((resolve) => only.once('connect', resolve));
      return at(server.port);
    },
  },
  {
    name: 'a server busy with a script',
    code: 'BUSY',
    async arrange(fixture) {
      const server = await fixture.redis('--busy-reply-threshold', '10');
      inBackground(fixture, server, 'eval', 'while true do end', '0');
      fixture.atEnd(() => server.cli('script', 'kill'));
      await until(() => server.cli('ping').startsWith('BUSY'));
      return at(server.port);
    },
  },
  {
    name: 'a primary without its replicas',
    code: 'MISCONF',
    ops: WRITES,
    arrange: async (fixture) => at((await fixture.redis('--min-replicas-to-write', '1')).port),
  },
  {
    name: 'a primary that cannot save to disk',
    code: 'MISCONF',
    ops: WRITES,
    async arrange(fixture) {
      const server = await fixture.redis('--save', '3600 1000000');
      rmSync(server.cli('config', 'get', 'dir').split('\n')[1]!, { recursive: true });
      // It would not stop without a successful save.
      fixture.atEnd(() => server.cli('config', 'set', 'save', ''));
      server.cli('bgsave');
      await until(() => /rdb_last_bgsave_status:err/.test(server.cli('info', 'persistence')));
      return at(server.port);
    },
  },
  {
    name: 'a node of a cluster',
    code: 'CLUSTER',
    async arrange(fixture) {
      // The default port of its bus is 10,000 higher, which may not exist.
      const bus = ['--cluster-port', `${await freePort()}`];
      return at((await fixture.redis('--cluster-enabled', 'yes', ...bus)).port);
    },
  },
];

/** Starts a command on the server that does not finish before the fixture ends. */
function inBackground(fixture: Fixture, server: RedisServer, ...command: string[]): void {
  const env = { ...process.env, ...(fixture.password === undefined ? {} : { REDISCLI_AUTH: fixture.password }) };
  const child = spawn('redis-cli', ['-p', `${server.port}`, ...command], { env, stdio: 'ignore' });
  fixture.atEnd(() => child.kill());
}
