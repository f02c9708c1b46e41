// Programs from PyPI, each in its own Python environment under target/.

import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { aptInstall, isRootOnDebian } from './apt.mjs';
import { Failure, output, root, run } from './run.mjs';

/** The folder of the programs of `packages` (`name==version`), which are installed in target/`name` if necessary. */
export function pythonPrograms(name, packages) {
  const directory = join(root, 'target', name);
  const done = join(directory, 'installed');
  const programs = join(directory, process.platform === 'win32' ? 'Scripts' : 'bin');
  if (existsSync(done) && readFileSync(done, 'utf8') === packages.join()) return programs;
  // An interrupted installation is started anew.
  rmSync(directory, { recursive: true, force: true });
  run(pythonWithVenv(packages), ['-m', 'venv', directory]);
  console.log(`Installing ${packages.join(' and ')}`);
  run(join(programs, 'python'), ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...packages]);
  writeFileSync(done, packages.join());
  return programs;
}

function pythonWithVenv(packages) {
  const found = python();
  if (found) return found;
  // Debian packages venv separately from Python.
  if (isRootOnDebian()) aptInstall('python3-venv');
  const now = python();
  if (!now) {
    throw new Failure(
      `${packages.join(' and ')}: needs Python 3 with venv (Debian: sudo apt-get install python3-venv)`,
    );
  }
  return now;
}

function python() {
  return ['python3', 'python'].find((name) => output(name, ['-c', 'import ensurepip, venv']) !== undefined);
}
