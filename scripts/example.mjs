// npm run example: packs the package, installs it into the Next.js application in examples/, builds and starts that, on
// the embedded store or on the Redis of the README's variables. `-- --port=4000`; `-- --no-build` uses the existing
// tarballs.

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { buildApp, installApp, copyBuild } from './example-app.mjs';
import { pack } from './pack.mjs';
import { Failure, runIfMain, root } from './run.mjs';

const HOST = '127.0.0.1';

/** A server starts in a second, and on a busy machine in a few. */
const START_TIMEOUT_MS = 60_000;

/** Requests in flight are answered by then when the server ends. */
const END_TIMEOUT_MS = 5000;

async function example(...args) {
  const { port, builds } = optionsOf(args);
  // Checked before the build, which takes long.
  await requireFreePort(port);
  if (builds) {
    console.log('Packing the package (the first time takes some minutes)');
    pack();
  }
  installApp();
  console.log('Building the application');
  await buildApp('turbopack');
  // Another process may have taken it meanwhile, such as another example with the same folder.
  await requireFreePort(port);
  // Neither in the build folder nor in that of an example on another port, whose files must not be replaced.
  const folder = join(root, 'target', 'example', `${port}`);
  copyBuild(folder);
  await serve(folder, port);
}

function optionsOf(args) {
  const options = { port: { type: 'string', default: '3000' }, 'no-build': { type: 'boolean', default: false } };
  let values;
  try {
    ({ values } = parseArgs({ args, options }));
  } catch (error) {
    throw new Failure(error.message);
  }
  const port = Number(values.port);
  if (!/^\d+$/.test(values.port) || port < 1 || port > 65_535) throw new Failure('--port takes 1 to 65535');
  return { port, builds: !values['no-build'] };
}

async function requireFreePort(port) {
  const server = createServer().listen(port, HOST);
  try {
    await once(server, 'listening');
  } catch (error) {
    throw new Failure(`port ${port} cannot be used (${error.code}): npm run example -- --port=${(port % 65_535) + 1}`);
  }
  server.close();
  await once(server, 'close');
}

async function serve(folder, port) {
  const given = process.env.RATE_LIMIT_OPERATOR_TOKEN;
  const token = given || randomBytes(24).toString('base64url');
  const env = { ...process.env, NODE_ENV: 'production', NEXT_TELEMETRY_DISABLED: '1', HOSTNAME: HOST, PORT: `${port}` };
  const child = spawn(process.execPath, ['server.js'], {
    cwd: folder,
    env: { ...env, RATE_LIMIT_OPERATOR_TOKEN: token },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const ended = once(child, 'exit');
  let stopping = false;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      // A second Ctrl-C ends it at once.
      child.kill(stopping ? 'SIGKILL' : signal);
      stopping = true;
      setTimeout(() => child.kill('SIGKILL'), END_TIMEOUT_MS).unref();
    });
  }
  const url = `http://${HOST}:${port}`;
  const ready = await waitUntilReady(url, child);
  if (ready) printAddress(url, given ? 'the one in RATE_LIMIT_OPERATOR_TOKEN' : token);
  else child.kill();
  const [code, signal] = await ended;
  if (!stopping) throw new Failure(ready ? `the server ended with ${signal ?? code}` : 'the server did not start');
}

/** Whether the server began to answer. */
async function waitUntilReady(url, child) {
  const end = Date.now() + START_TIMEOUT_MS;
  for (; child.exitCode === null && child.signalCode === null && Date.now() < end; await sleep(100)) {
    try {
      await (await fetch(url)).text();
      return true;
    } catch {
      // Not listening yet.
    }
  }
  return false;
}

function printAddress(url, token) {
  console.log(`
The application   ${url}
For operators     ${url}/admin/rate-limits
Operator's token  ${token}

Ctrl-C ends it.`);
}

await runIfMain(import.meta.url, example);
