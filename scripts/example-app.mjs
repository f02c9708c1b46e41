// The Next.js application in examples/: its packages, its builds, and the standalone folder.

import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { install } from './install.mjs';
import { hostPlatform } from './platforms.mjs';
import { Failure, runIfMain, root } from './run.mjs';

const app = join(root, 'examples', 'nextjs');

/** A build takes half a minute; a longer one than this hangs, even on a slow machine. */
const BUILD_TIMEOUT_MS = 600_000;

/** Installs its packages, and the package as packed in dist/: a linked one would be bundled. */
export function installApp() {
  install(app, tarballs());
}

function tarballs() {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const names = [`huntaze-rate-limit-${version}.tgz`, `huntaze-rate-limit-${hostPlatform().name}-${version}.tgz`];
  const files = names.map((name) => join(root, 'dist', name));
  const missing = files.find((file) => !existsSync(file));
  if (missing) throw new Failure(`${missing} is missing: npm run pack:local`);
  return files;
}

/** Builds it with 'turbopack' or 'webpack' and resolves to the output. */
export function buildApp(bundler, env = process.env) {
  // With CI set, Next.js warns of a missing cache folder: a clean build is intended here.
  mkdirSync(join(app, '.next', 'cache'), { recursive: true });
  return new Promise((resolve, reject) => {
    const { NODE_ENV, ...rest } = env;
    // Registered before the child is started: a signal during its start would end this process alone.
    const release = forwardSignals(() => child);
    const child = spawn(process.execPath, ['node_modules/next/dist/bin/next', 'build', `--${bundler}`], {
      cwd: app,
      env: { ...rest, NEXT_TELEMETRY_DISABLED: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: BUILD_TIMEOUT_MS,
    });
    let printed = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text) => (printed += text));
    child.once('error', (error) => {
      release();
      reject(new Failure(`cannot start next build: ${error.message}`));
    });
    child.once('close', (code, signal) => {
      release();
      if (code === 0) resolve(printed);
      else reject(new Failure(`next build --${bundler} ended with ${signal ?? code}:\n${printed}`));
    });
  });
}

/**
 * Ends the child before this process, because it would continue building otherwise; returns a function that undoes
 * that.
 */
function forwardSignals(childStarted) {
  const handlers = ['SIGINT', 'SIGTERM', 'SIGHUP'].map((signal) => {
    let signalled = false;
    const handler = () => {
      const child = childStarted();
      // A second Ctrl-C kills both immediately.
      child.kill(signalled ? 'SIGKILL' : signal);
      if (signalled) return;
      signalled = true;
      child.once('exit', () => {
        release();
        process.kill(process.pid, signal);
      });
    };
    process.on(signal, handler);
    return [signal, handler];
  });
  const release = () => {
    for (const [signal, handler] of handlers) process.removeListener(signal, handler);
  };
  return release;
}

/** Copies the last build into a separate folder: `node server.js` there starts the application. */
export function copyBuild(folder) {
  const built = join(app, '.next');
  rmSync(folder, { recursive: true, force: true });
  // Its links are relative within the build and must not be resolved to this folder.
  cpSync(join(built, 'standalone'), folder, { recursive: true, verbatimSymlinks: true });
  // Next.js leaves these for a CDN.
  cpSync(join(built, 'static'), join(folder, '.next', 'static'), { recursive: true });
}

await runIfMain(import.meta.url, installApp);
