// libfaketime for the chaos suite, which moves the clock of a server or of a client: installed where it is missing.

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Failure, asMain, run } from './run.mjs';

// The variant for programs with threads: redis-server and node have several.
const LIBRARY = 'libfaketimeMT.so.1';

/** The path of the library, for LD_PRELOAD. */
export function libfaketime() {
  const found = libraryFound() ?? installOnDebian();
  if (found === undefined) throw new Failure('libfaketime is missing: sudo apt-get install libfaketime');
  return found;
}

function libraryFound() {
  // Debian has it under the machine's triple, others directly under lib.
  const folders = ['/usr/lib', '/usr/lib64', '/usr/local/lib'].filter((folder) => existsSync(folder));
  const nested = existsSync('/usr/lib') ? readdirSync('/usr/lib').map((name) => join('/usr/lib', name)) : [];
  return [...folders, ...nested].map((folder) => join(folder, 'faketime', LIBRARY)).find((file) => existsSync(file));
}

function installOnDebian() {
  if (process.platform !== 'linux' || process.getuid() !== 0 || !existsSync('/usr/bin/apt-get')) return undefined;
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  run('apt-get', ['update', '-q'], { env });
  run('apt-get', ['install', '-qy', '--no-install-recommends', 'libfaketime'], { env });
  return libraryFound();
}

await asMain(import.meta.url, () => console.log(libfaketime()));
