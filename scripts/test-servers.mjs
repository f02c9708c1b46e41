// npm run test:servers: the tests that depend on the server and its version, on servers other than this machine's
// redis-server.
//
//   node scripts/test-servers.mjs [valkey-8.1] [redis-8.0]

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { chaos, countRows } from '../__test__/chaos/run.mjs';
import { build } from './build.mjs';
import { cargoTest } from './cargo-test.mjs';
import { install } from './install.mjs';
import { jest } from './jest.mjs';
import { Failure, runIfMain, output, root } from './run.mjs';
import { installedServer, serverNames } from './server-binaries.mjs';

/**
 * The contract over every store but memory, the scripts against the pure log, the mapping of a server's faults and
 * errors, replay, users, and the cluster. TLS, DNS and the network do not depend on the server's version. Unit
 * tests of modules with these names run, too.
 */
const rust = [
  ...['stores::contract::', 'stores::script::'],
  ...[
    'redis::connection_test::',
    'redis::credentials::',
    'redis::keys::',
    'redis::login::',
    'redis::reconnect::',
    'redis::replay::',
    'redis::server_errors::',
  ],
  ...['redis_cluster::', 'test_cluster::'],
];

/**
 * One server and all nodes of a cluster, killed and restarted, with replay; a primary of a cluster killed under load;
 * and a primary that is demoted and promoted again.
 */
const faults = ['F1', 'F2b', 'F3'];

/** Several processes on one quota, with exact counts; and the reports of the server and of its outages. */
const specs = ['diagnostics/redis', 'limiter', 'process/exactness', 'store-state'];

const START_MS = 20_000;

/** Has a line for each start of the server under test; see server-binaries.mjs. */
const started = join(root, 'target', 'servers', 'started');

/** Runs the suites on each server, up to the first that fails, and counts their tests. */
export async function testServers(...names) {
  install();
  build();
  for (const name of names.length > 0 ? names : serverNames) {
    const server = installedServer(name);
    const before = process.env.PATH;
    Object.assign(process.env, server.environment, { SERVERS_STARTED: started });
    try {
      await verifyServer(server);
      await runSuite(server, 'Rust tests', rustTests);
      await runSuite(server, 'faults', quickFaults);
      await runSuite(server, 'specs', () =>
        jest('--runTestsByPath', ...specs.map((spec) => `__test__/${spec}.spec.ts`)),
      );
    } finally {
      process.env.PATH = before;
      delete process.env.SERVERS_STARTED;
    }
  }
}

/** A suite that started no server of this kind has tested nothing on it. */
async function runSuite({ name, version }, title, does) {
  console.log(`\n${name}: ${title}`);
  writeFileSync(started, '');
  const startedAt = Date.now();
  await does();
  const starts = readFileSync(started, 'utf8').trim().split('\n').filter(Boolean).length;
  if (starts === 0) throw new Failure(`${name}: ${title} started no server of ${version}`);
  console.log(
    `${name}: ${title} passed in ${((Date.now() - startedAt) / 1000).toFixed(1)} s, on ${starts} servers ${version}`,
  );
}

/** Whether the redis-server in PATH is the expected server, by its own INFO. */
async function verifyServer({ name, field, version }) {
  const folder = mkdtempSync(join(tmpdir(), 'rate-limit-server-'));
  const socket = join(folder, 'socket');
  const child = spawn('redis-server', ['--port', '0', '--unixsocket', socket, '--save', '', '--dir', folder], {
    stdio: 'ignore',
  });
  try {
    let info;
    for (const end = Date.now() + START_MS; info === undefined && Date.now() < end; await sleep(20)) {
      info = output('redis-cli', ['-s', socket, 'info', 'server']);
    }
    if (!info?.split(/\r?\n/).includes(`${field}:${version}`)) throw new Failure(`${name} is another server: ${info}`);
  } finally {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
}

async function rustTests() {
  const ran = await cargoTest(...rust, '--skip', '::memory::');
  // A renamed test would silently drop out.
  const none = rust.filter((filter) => !ran.some((test) => test.startsWith(filter)));
  if (none.length > 0) throw new Failure(`no test is called ${none.join(', ')}`);
}

async function quickFaults() {
  countRows(await chaos('--quick', '--no-build', `--only=${faults}`));
}

await runIfMain(import.meta.url, testServers);
