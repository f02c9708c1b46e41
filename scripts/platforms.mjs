// The platforms with a binary. The same table is in package.json (napi.targets), npm/, lib/native.js and the
// workflow; __test__/package/platforms.spec.ts verifies that they agree.

import { Failure } from './run.mjs';

/**
 * The oldest glibc that the binaries run on. It covers every Linux that Node.js 20 runs on: its own builds require
 * 2.28.
 */
export const OLDEST_GLIBC = '2.17';

/**
 * One platform. `build` is the target for cargo or cargo-zigbuild: the number after a Linux triple is the oldest glibc
 * the binary runs on.
 */
const platform = (name, target, npm, library, build = target) => ({ name, target, build, npm, library });

const so = 'libhuntaze_rate_limit.so';
const dylib = 'libhuntaze_rate_limit.dylib';

export const platforms = [
  platform('linux-x64-gnu', 'x86_64-unknown-linux-gnu', linux('x64', 'glibc'), so, oldGlibc('x86_64')),
  platform('linux-x64-musl', 'x86_64-unknown-linux-musl', linux('x64', 'musl'), so),
  platform('linux-arm64-gnu', 'aarch64-unknown-linux-gnu', linux('arm64', 'glibc'), so, oldGlibc('aarch64')),
  platform('linux-arm64-musl', 'aarch64-unknown-linux-musl', linux('arm64', 'musl'), so),
  platform('darwin-x64', 'x86_64-apple-darwin', { os: ['darwin'], cpu: ['x64'] }, dylib),
  platform('darwin-arm64', 'aarch64-apple-darwin', { os: ['darwin'], cpu: ['arm64'] }, dylib),
  platform('win32-x64-msvc', 'x86_64-pc-windows-msvc', { os: ['win32'], cpu: ['x64'] }, 'huntaze_rate_limit.dll'),
];

function linux(cpu, libc) {
  return { os: ['linux'], cpu: [cpu], libc: [libc] };
}

function oldGlibc(cpu) {
  return `${cpu}-unknown-linux-gnu.${OLDEST_GLIBC}`;
}

export function isLinux({ npm }) {
  return npm.os[0] === 'linux';
}

/** Whether this machine can build a platform: zig builds Linux anywhere; the others need their vendor's tools. */
export function canBuild(platform) {
  return isLinux(platform) || platform.npm.os[0] === process.platform;
}

/** The file name of a platform's addon, next to index.js or in its npm folder. */
export function addonFile({ name }) {
  return `rate-limit.${name}.node`;
}

export function platformNamed(name) {
  const found = platforms.find((platform) => platform.name === name);
  if (!found) throw new Failure(`no platform ${name}; there are ${platforms.map((p) => p.name).join(', ')}`);
  return found;
}

/** The platform of this machine. */
export function hostPlatform() {
  const { platform: os, arch, report } = process;
  // Node's own report contains the glibc version it runs on, and no such field under musl.
  const libc = os === 'linux' ? (report.getReport().header.glibcVersionRuntime ? 'glibc' : 'musl') : undefined;
  const found = platforms.find(
    ({ npm }) => npm.os[0] === os && npm.cpu[0] === arch && (libc === undefined || npm.libc[0] === libc),
  );
  if (!found) throw new Failure(`there is no build for ${os}-${arch}; the platforms are in scripts/platforms.mjs`);
  return found;
}
