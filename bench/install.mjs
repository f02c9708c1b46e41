// The peers, in bench/node_modules. The package itself has none of them.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { install as installPackages, lockedPackages } from '../scripts/install.mjs';
import { runIfMain } from '../scripts/run.mjs';

const bench = fileURLToPath(new URL('.', import.meta.url));

export function install() {
  installPackages(bench);
}

/** The measured version of a peer. */
export function versionOf(name) {
  return lockedPackages(join(bench, 'package-lock.json'))[`node_modules/${name}`].version;
}

await runIfMain(import.meta.url, install);
