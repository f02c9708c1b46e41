// cargo-zigbuild and zig, which build for Linux against an old glibc and for other machines, in a Python environment of
// their own under target/. A plain build asks for the glibc of the machine it ran on: on Debian 12 that is 2.34.

import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { aptInstall, isRootOnDebian } from './apt.mjs';
import { Failure, asMain, output, root, run } from './run.mjs';

const TOOLS = ['cargo-zigbuild==0.24.0', 'ziglang==0.15.2'];

const directory = join(root, 'target', 'zig');
const done = join(directory, 'installed');
const bin = join(directory, process.platform === 'win32' ? 'Scripts' : 'bin');

/** The environment in which `cargo zigbuild` works; installs what is missing. */
export function zigEnvironment() {
  if (!existsSync(done) || readFileSync(done, 'utf8') !== TOOLS.join()) installTools();
  return { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}` };
}

function installTools() {
  // An interrupted installation is started anew.
  rmSync(directory, { recursive: true, force: true });
  run(pythonWithVenv(), ['-m', 'venv', directory]);
  console.log(`Installing ${TOOLS.join(' and ')}`);
  run(join(bin, 'python'), ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...TOOLS]);
  writeFileSync(done, TOOLS.join());
}

function pythonWithVenv() {
  const found = python();
  if (found) return found;
  // Debian splits venv from Python.
  if (isRootOnDebian()) aptInstall('python3-venv');
  const now = python();
  if (!now) throw new Failure('packing needs Python 3 with venv (Debian: sudo apt-get install python3-venv)');
  return now;
}

function python() {
  return ['python3', 'python'].find((name) => output(name, ['-c', 'import ensurepip, venv']) !== undefined);
}

await asMain(import.meta.url, zigEnvironment);
