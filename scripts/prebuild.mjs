// The addon as it is shipped, for this machine or a named platform, into npm/<platform>/.
// Linux is built against an old glibc, whatever this machine has; macOS and Windows are built on their own kind.

import { homedir } from 'node:os';
import { join } from 'node:path';
import { targetDirectory } from './build.mjs';
import { byVersion, glibcVersions } from './glibc.mjs';
import { place } from './place.mjs';
import { addonFile, hostPlatform, platformNamed } from './platforms.mjs';
import { Failure, asMain, root, run } from './run.mjs';
import { needTarget } from './rust.mjs';
import { zigEnvironment } from './zig.mjs';

/** The oldest glibc the package promises: Amazon Linux 2023 has 2.34, Debian 10 and RHEL 8 have 2.28. */
const OLDEST_GLIBC = '2.28';

export function prebuild(platform = hostPlatform()) {
  const { name, target, build, library } = platform;
  needTarget(target);
  const options = ['--release', '--locked', '--lib', '--target', build];
  const env = platform.npm.os[0] === 'linux' ? zigEnvironment() : { ...process.env };
  env.RUSTFLAGS = rustFlags(name).join(' ');
  run('cargo', [platform.npm.os[0] === 'linux' ? 'zigbuild' : 'build', ...options], { env });
  const file = addonPath(platform);
  place(join(targetDirectory(), target, 'release', library), file);
  if (platform.npm.os[0] === 'linux') checkGlibc(name, file);
}

function rustFlags(name) {
  // Panics name their source file: what is shipped should not tell where it was built.
  const cargoHome = process.env.CARGO_HOME ?? join(homedir(), '.cargo');
  const flags = [`--remap-path-prefix=${cargoHome}=cargo`, `--remap-path-prefix=${root}=`];
  // Rust links musl statically unless told otherwise, and a static library cannot be loaded by node.
  return name.endsWith('-musl') ? [...flags, '-Ctarget-feature=-crt-static'] : flags;
}

/** Where the shipped addon of a platform is. */
export function addonPath(platform) {
  return join(root, 'npm', platform.name, addonFile(platform));
}

function checkGlibc(name, file) {
  const newest = glibcVersions(file).at(-1);
  if (name.endsWith('-gnu') === (newest === undefined)) {
    throw new Failure(`${file} is not linked against the C library of ${name}`);
  }
  if (newest === undefined) return;
  if (byVersion(newest, OLDEST_GLIBC) > 0)
    throw new Failure(`${file} needs glibc ${newest}, newer than ${OLDEST_GLIBC}`);
  console.log(`${name} needs glibc ${newest} or newer`);
}

await asMain(import.meta.url, (name) => prebuild(name === undefined ? undefined : platformNamed(name)));
