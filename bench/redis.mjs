// Redis servers for the benchmark, which keep no data on disk and end with this process.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../scripts/run.mjs';
import { ControlConnection } from './control-connection.mjs';

const START_TIMEOUT_MS = 10_000;

/** Contenders that run concurrently have a database each. */
const DATABASES = 64;

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** Runs `use` with a server, `{ port, version, control }`, which is stopped afterwards in any case. */
export function withRedis(use) {
  return useAndStop(() => startRedis(), use);
}

/** Runs `use` with the result of `start`, and then calls its `stop`, even after an error. */
export async function useAndStop(start, use) {
  // Node ends without the exit event on an unhandled signal.
  const interrupted = () => process.exit(1);
  for (const signal of SIGNALS) process.once(signal, interrupted);
  let stop = async () => {};
  try {
    const started = await start();
    stop = started.stop;
    return await use(started);
  } finally {
    for (const signal of SIGNALS) process.off(signal, interrupted);
    await stop();
  }
}

/** Starts a server with additional options: `{ port, version, control, stop }`. */
export async function startRedis(more = {}) {
  const port = await freePort();
  const own = { port, bind: '127.0.0.1', databases: DATABASES, save: '', appendonly: 'no', dir: tmpdir() };
  const args = Object.entries({ ...own, ...more }).flatMap(([name, value]) => [`--${name}`, `${value}`]);
  const server = spawn('redis-server', args, { stdio: 'ignore' });
  const end = () => server.kill('SIGKILL');
  process.once('exit', end);
  try {
    const control = await waitForConnection(server, port);
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

export async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

async function waitForConnection(server, port) {
  let failed;
  server.once('error', (error) => (failed = error));
  for (const start = Date.now(); Date.now() - start < START_TIMEOUT_MS; await sleep(20)) {
    if (failed) throw new Failure(`cannot start redis-server: ${failed.message}`);
    if (server.exitCode !== null) throw new Failure(`redis-server ended with ${server.exitCode}`);
    const control = await ControlConnection.connect(port).catch(() => undefined);
    if (control) return control;
  }
  throw new Failure('redis-server does not answer');
}
