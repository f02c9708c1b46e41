import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { connect } from 'node:net';
import { freePort, type RedisServer } from '../redis';
import { at, until, type Failure, type Op, type Scene } from './fixture';

/** Reads are served, and a reset frees memory. */
const ADMISSIONS: Op[] = ['limit', 'check'];
const WRITES: Op[] = ['limit', 'check', 'reset'];

/** A real server that refuses, each for a reason of its own. */
export const server: Failure[] = [
  {
    name: 'a replica',
    code: 'READONLY',
    ops: WRITES,
    async arrange(scene) {
      // It would wait for more replicas to come, by default.
      const primary = await scene.redis('--repl-diskless-sync-delay', '0');
      const auth = scene.password === undefined ? [] : ['--masterauth', scene.password];
      const replica = await scene.redis('--replicaof', '127.0.0.1', `${primary.port}`, ...auth);
      // Until the first synchronization it is loading.
      await until(() => /master_link_status:up/.test(replica.cli('info', 'replication')));
      return at(replica.port);
    },
  },
  {
    name: 'a server that is loading its data',
    code: 'LOADING',
    async arrange(scene) {
      const slow = ['--enable-debug-command', 'yes', '--key-load-delay', '500'];
      // It looks up from loading every so many bytes: by default once in 2 MB, which here is never.
      const server = await scene.redis(...slow, '--loading-process-events-interval-bytes', '1024');
      // Half a millisecond a key: it loads for half a minute, or until the scene ends.
      server.cli('debug', 'populate', '60000');
      inBackground(scene, server, 'debug', 'reload');
      await until(() => /^loading:1/m.test(server.cli('info', 'persistence')));
      return at(server.port);
    },
  },
  {
    name: 'a replica that has lost its primary and serves nothing old',
    code: 'LOADING',
    async arrange(scene) {
      const nobody = await freePort();
      const stale = ['--replica-serve-stale-data', 'no'];
      return at((await scene.redis('--replicaof', '127.0.0.1', `${nobody}`, ...stale)).port);
    },
  },
  {
    name: 'a server out of memory',
    code: 'OOM',
    ops: ADMISSIONS,
    async arrange(scene) {
      const server = await scene.redis();
      server.cli('config', 'set', 'maxmemory', '1');
      return at(server.port);
    },
  },
  {
    name: 'a server without a connection left',
    code: 'MAXCLIENTS',
    orElse: 'ECONNRESET',
    async arrange(scene) {
      const server = await scene.redis('--maxclients', '1');
      const only = connect(server.port, '127.0.0.1').on('error', () => {});
      scene.atEnd(() => only.destroy());
      await new Promise((resolve) => only.once('connect', resolve));
      return at(server.port);
    },
  },
  {
    name: "a server busy with somebody's script",
    code: 'BUSY',
    async arrange(scene) {
      const server = await scene.redis('--busy-reply-threshold', '10');
      inBackground(scene, server, 'eval', 'while true do end', '0');
      scene.atEnd(() => server.cli('script', 'kill'));
      await until(() => server.cli('ping').startsWith('BUSY'));
      return at(server.port);
    },
  },
  {
    name: 'a primary without its replicas',
    code: 'MISCONF',
    ops: WRITES,
    arrange: async (scene) => at((await scene.redis('--min-replicas-to-write', '1')).port),
  },
  {
    name: 'a primary that cannot save to disk',
    code: 'MISCONF',
    ops: WRITES,
    async arrange(scene) {
      const server = await scene.redis('--save', '3600 1000000');
      rmSync(server.cli('config', 'get', 'dir').split('\n')[1]!, { recursive: true });
      // It would not end without having saved.
      scene.atEnd(() => server.cli('config', 'set', 'save', ''));
      server.cli('bgsave');
      await until(() => /rdb_last_bgsave_status:err/.test(server.cli('info', 'persistence')));
      return at(server.port);
    },
  },
  {
    name: 'a node of a cluster',
    code: 'CLUSTER',
    async arrange(scene) {
      // Its bus is 10,000 ports further on otherwise, which there may not be.
      const bus = ['--cluster-port', `${await freePort()}`];
      return at((await scene.redis('--cluster-enabled', 'yes', ...bus)).port);
    },
  },
];

/** Has the server do what it will not be done with before the scene ends. */
function inBackground(scene: Scene, server: RedisServer, ...command: string[]): void {
  const env = { ...process.env, ...(scene.password === undefined ? {} : { REDISCLI_AUTH: scene.password }) };
  const child = spawn('redis-cli', ['-p', `${server.port}`, ...command], { env, stdio: 'ignore' });
  scene.atEnd(() => child.kill());
}
