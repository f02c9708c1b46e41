// Builds the addon for release, for this machine or for named platforms, into npm/<platform>/. Linux is built against
// an old glibc, whatever this machine has; macOS and Windows are built on their own platform.

import { homedir } from 'node:os';
import { join } from 'node:path';
import { targetDirectory } from './build.mjs';
import { byVersion, glibcVersions } from './glibc.mjs';
import { copyLibrary } from './copy-library.mjs';
import { OLDEST_GLIBC, addonFile, canBuild, hostPlatform, isLinux, platformNamed } from './platforms.mjs';
import { Failure, runIfMain, root, run } from './run.mjs';
import { requireTarget } from './rust.mjs';
import { zigEnvironment } from './zig.mjs';

/**
 * One run of cargo builds all: their dependencies compile in parallel, and each ends with minutes in a single thread.
 */
export function prebuild(...platforms) {
  for (const platform of platforms) {
    if (!canBuild(platform)) throw new Failure(`${platform.name} is built on a machine of its own kind`);
  }
  for (const { target } of platforms) requireTarget(target);
  const zig = platforms.some(isLinux);
  const targets = platforms.flatMap(({ build }) => ['--target', build]);
  run('cargo', [zig ? 'zigbuild' : 'build', '--release', '--locked', '--lib', ...targets], {
    env: environment(platforms, zig),
  });
  for (const platform of platforms) {
    const file = addonPath(platform);
    copyLibrary(join(targetDirectory(), platform.target, 'release', platform.library), file);
    if (isLinux(platform)) checkGlibc(platform.name, file);
  }
}

function environment(platforms, zig) {
  const env = zig ? zigEnvironment() : { ...process.env };
  // These variables apply to every target and would override the flags of a single target.
  for (const name of ['RUSTFLAGS', 'CARGO_ENCODED_RUSTFLAGS']) delete env[name];
  for (const { name, target } of platforms) {
    env[`CARGO_TARGET_${target.toUpperCase().replaceAll('-', '_')}_RUSTFLAGS`] = rustFlags(name).join(' ');
  }
  return env;
}

function rustFlags(name) {
  // Panic messages contain source paths: a shipped binary should not reveal the build folder.
  const cargoHome = process.env.CARGO_HOME ?? join(homedir(), '.cargo');
  const flags = [`--remap-path-prefix=${cargoHome}=cargo`, `--remap-path-prefix=${root}=`];
  // Rust links musl statically by default, and node cannot load a static library.
  return name.endsWith('-musl') ? [...flags, '-Ctarget-feature=-crt-static'] : flags;
}

/** The path of a platform's shipped addon. */
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

await runIfMain(import.meta.url, (...names) =>
  prebuild(...(names.length > 0 ? names.map(platformNamed) : [hostPlatform()])),
);
