// One redis-server of the benchmark's own, which keeps nothing on disk and ends with this process.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../scripts/run.mjs';
import { Control } from './control.mjs';

const STARTS_WITHIN_MS = 10_000;

/** Contenders that are measured at the same time have a database each. */
const DATABASES = 64;

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** Runs `use` with a server, `{ port, version, control }`, that is gone afterwards, however it ends. */
export async function withRedis(use) {
  const { stop, ...redis } = await startRedis();
  // Node ends without the exit event on a signal that nobody minds.
  const interrupted = () => process.exit(1);
  for (const signal of SIGNALS) process.once(signal, interrupted);
  try {
    return await use(redis);
  } finally {
    for (const signal of SIGNALS) process.off(signal, interrupted);
    await stop();
  }
}

async function startRedis() {
  const port = await freePort();
  const options = { port, bind: '127.0.0.1', databases: DATABASES, save: '', appendonly: 'no', dir: tmpdir() };
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, `${value}`]);
  const server = spawn('redis-server', args, { stdio: 'ignore' });
  const end = () => server.kill('SIGKILL');
  process.once('exit', end);
  try {
    const control = await reach(server, port);
    return {
      port,
      version: (await control.info('server')).redis_version,
      control,
      async stop() {
        control.close();
        if (server.exitCode === null && server.signalCode === null) {
          end();
          await once(server, 'exit');
        }
        process.off('exit', end);
      },
    };
  } catch (error) {
    end();
    throw error;
  }
}

async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

async function reach(server, port) {
  let failed;
  server.once('error', (error) => (failed = error));
  for (const start = Date.now(); Date.now() - start < STARTS_WITHIN_MS; await sleep(20)) {
    if (failed) throw new Failure(`cannot start redis-server: ${failed.message}`);
    if (server.exitCode !== null) throw new Failure(`redis-server ended with ${server.exitCode}`);
    const control = await Control.connect(port).catch(() => undefined);
    if (control) return control;
  }
  throw new Failure('redis-server does not answer');
}
