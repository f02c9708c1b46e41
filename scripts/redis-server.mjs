// A redis-server for the tests, which start and stop their own servers: 7.0 or newer, installed if it is missing.

import { existsSync } from 'node:fs';
import { aptInstall, isRootOnDebian } from './apt.mjs';
import { Failure, runIfMain, output } from './run.mjs';

const OLDEST = 7;

export function redisServer() {
  let version = versionFound();
  // An existing older version may be in use: it is left alone.
  if (version === undefined && isRootOnDebian()) {
    installOnDebian();
    version = versionFound();
  }
  if (version === undefined) throw new Failure(`redis-server and redis-cli are missing: ${installHint()}`);
  if (Number.parseInt(version) < OLDEST)
    throw new Failure(`redis-server ${version} is older than ${OLDEST}.0: ${installHint()}`);
  console.log(`redis-server ${version}`);
}

function versionFound() {
  if (output('redis-cli', ['--version']) === undefined) return undefined;
  return /v=([\d.]+)/.exec(output('redis-server', ['--version']) ?? '')?.[1];
}

function installOnDebian() {
  aptInstall('redis-server');
  // Debian starts an installed server, and again at boot. The tests need the program, not a server on port 6379.
  if (existsSync('/run/systemd/system')) output('systemctl', ['disable', '--now', 'redis-server']);
  else output('service', ['redis-server', 'stop']);
}

function installHint() {
  if (process.platform === 'darwin') return 'brew install redis';
  if (process.platform === 'win32') return 'run the tests under WSL';
  if (existsSync('/sbin/apk')) return 'apk add redis';
  if (existsSync('/usr/bin/dnf')) return 'sudo dnf install redis';
  return 'sudo apt-get install redis-server';
}

await runIfMain(import.meta.url, redisServer);
