// Programs from Debian's archive, where this may install them.

import { existsSync } from 'node:fs';
import { run } from './run.mjs';

export function isRootOnDebian() {
  return process.platform === 'linux' && process.getuid() === 0 && existsSync('/usr/bin/apt-get');
}

export function aptInstall(...packages) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  run('apt-get', ['update', '-q'], { env });
  run('apt-get', ['install', '-qy', '--no-install-recommends', ...packages], { env });
}
