// The peers, into bench/node_modules, when they are not what bench/package-lock.json asks for. The package itself has
// nothing of them.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { asMain, run } from '../scripts/run.mjs';

const bench = fileURLToPath(new URL('.', import.meta.url));

export function install() {
  if (installed()) return;
  console.log('Installing the peers into bench/node_modules');
  // No package here needs its install script, and what does not run can do no harm.
  run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: bench });
}

/** The version of a peer that is measured. */
export function versionOf(name) {
  return packages('package-lock.json')[`node_modules/${name}`].version;
}

function installed() {
  const wanted = packages('package-lock.json');
  const present = packages(join('node_modules', '.package-lock.json'));
  if (present === undefined) return false;
  return Object.keys(wanted).every(
    // Optional packages are those of other platforms.
    (name) =>
      name === '' || present[name]?.version === wanted[name].version || (wanted[name].optional && !present[name]),
  );
}

/** The packages of a lock file, or undefined where there is none. */
function packages(file) {
  try {
    return JSON.parse(readFileSync(join(bench, file), 'utf8')).packages;
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}

await asMain(import.meta.url, install);
