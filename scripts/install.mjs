// The packages of a folder, when they are not there yet: `npm ci` takes half a minute even to change nothing.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { asMain, root, run } from './run.mjs';

/** Installs what the folder's package-lock.json asks for; by default the repository's own, which the tests need. */
export function install(folder = root) {
  if (installed(folder)) {
    console.log('node_modules is up to date');
    return;
  }
  // No package here needs its install script, and what does not run can do no harm.
  run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: folder });
}

/** Whether node_modules is what package-lock.json asks for, by the note that npm leaves in it. */
function installed(folder) {
  const wanted = lockedPackages(join(folder, 'package-lock.json'));
  const present = lockedPackages(join(folder, 'node_modules', '.package-lock.json'));
  if (present === undefined) return false;
  delete wanted[''];
  const agrees = (name) =>
    present[name]?.version === wanted[name].version && present[name]?.integrity === wanted[name].integrity;
  // Optional packages are those of other platforms.
  const complete = Object.keys(wanted).every((name) => agrees(name) || (wanted[name].optional && !present[name]));
  return complete && Object.keys(present).every((name) => wanted[name]);
}

/** The packages of a lock file, or undefined where there is none. */
export function lockedPackages(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages;
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}

await asMain(import.meta.url, () => install());
