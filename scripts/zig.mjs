// cargo-zigbuild and zig, which build for Linux against an old glibc and for other machines. A plain build requires the
// glibc of the machine it ran on: on Debian 12 that is 2.34.

import { delimiter } from 'node:path';
import { pythonPrograms } from './python.mjs';
import { runIfMain } from './run.mjs';

const PACKAGES = ['cargo-zigbuild==0.24.0', 'ziglang==0.15.2'];

/** The environment in which `cargo zigbuild` works; installs the missing parts. */
export function zigEnvironment() {
  return { ...process.env, PATH: `${pythonPrograms('zig', PACKAGES)}${delimiter}${process.env.PATH}` };
}

await runIfMain(import.meta.url, zigEnvironment);
