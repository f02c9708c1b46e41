// Installs the packages of a folder, unless they are installed already: `npm ci` takes half a minute even to change
// nothing.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runIfMain, root, run } from './run.mjs';

/**
 * Installs the packages of the folder's package-lock.json, by default the repository's own, which the tests need; and
 * in addition `tarballs`, which no lock file can pin: their bytes differ with every build.
 */
export function install(folder = root, tarballs = []) {
  const { locked, packed } = installed(folder, tarballs);
  if (locked && packed) {
    console.log('node_modules is up to date');
    return;
  }
  // No package here needs its install script, and a script that does not run can do no harm.
  const options = ['--ignore-scripts', '--no-audit', '--no-fund'];
  if (!locked) run('npm', ['ci', ...options], { cwd: folder });
  if (tarballs.length > 0) {
    // Nothing is saved, but the lock file is read: without it npm would install newer releases.
    run('npm', ['install', '--no-save', ...options, ...tarballs], { cwd: folder });
  }
}

/** Whether node_modules matches package-lock.json and the tarballs, by npm's own lock file in it. */
function installed(folder, tarballs) {
  const wanted = lockedPackages(join(folder, 'package-lock.json'));
  const present = lockedPackages(join(folder, 'node_modules', '.package-lock.json'));
  if (present === undefined) return { locked: false, packed: false };
  delete wanted[''];
  const agrees = (name) =>
    present[name]?.version === wanted[name].version && present[name]?.integrity === wanted[name].integrity;
  // Optional packages are those of other platforms.
  const complete = Object.keys(wanted).every((name) => agrees(name) || (wanted[name].optional && !present[name]));
  const others = Object.keys(present).filter((name) => !wanted[name]);
  const fromFile = (name) => tarballs.length > 0 && present[name].resolved?.startsWith('file:');
  return {
    locked: complete && others.every(fromFile),
    packed:
      others
        .map((name) => present[name].integrity)
        .sort()
        .join() === tarballs.map(integrity).sort().join(),
  };
}

/** npm's integrity hash of a tarball. */
function integrity(file) {
  return `sha512-${createHash('sha512').update(readFileSync(file)).digest('base64')}`;
}

/** The packages of a lock file, or undefined without one. */
export function lockedPackages(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages;
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}

await runIfMain(import.meta.url, () => install());
