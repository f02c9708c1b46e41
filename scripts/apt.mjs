// Programs from Debian's archive: installed if permitted, or unpacked into a folder.

import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Failure, output, run } from './run.mjs';

const DEBIAN_KEYS = '/usr/share/keyrings/debian-archive-keyring.gpg';

const LOCK_SECONDS = 600;

export function isRootOnDebian() {
  return process.platform === 'linux' && process.getuid() === 0 && existsSync('/usr/bin/apt-get');
}

export function aptInstall(...packages) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  // Another step may be installing at the same time: apt waits for its lock.
  const patient = ['-o', `DPkg::Lock::Timeout=${LOCK_SECONDS}`];
  run('apt-get', ['update', '-q', ...patient], { env });
  run('apt-get', ['install', '-qy', '--no-install-recommends', ...patient, ...packages], { env });
}

/**
 * Unpacks packages of any Debian release into the empty folder `into`, without installing them: the machine's own
 * packages are unchanged. The list must include their dependencies. A package for another processor is named
 * `musl:arm64`. Needs no root.
 */
export function aptUnpack(release, packages, into) {
  const apt = join(into, 'apt');
  for (const folder of ['lists/partial', 'cache/archives/partial', 'packages'])
    mkdirSync(join(apt, folder), { recursive: true });
  const sources = join(apt, 'sources.list');
  writeFileSync(sources, `deb [signed-by=${DEBIAN_KEYS} target=Packages] ${debianMirror()} ${release} main\n`);
  // All other settings, such as a proxy, are the machine's.
  const options = [
    `Dir::Etc::sourcelist=${sources}`,
    'Dir::Etc::sourceparts=/dev/null',
    'Dir::Etc::preferences=/dev/null',
    'Dir::Etc::preferencesparts=/dev/null',
    `Dir::State=${apt}`,
    `Dir::State::lists=${join(apt, 'lists')}`,
    'Dir::State::status=/dev/null',
    `Dir::Cache=${join(apt, 'cache')}`,
    'APT::Default-Release=',
    ...architectures(packages).map((architecture) => `APT::Architectures::=${architecture}`),
    // The user _apt, to which apt switches by default, may not be allowed to write here.
    'APT::Sandbox::User=root',
    'Acquire::Languages=none',
  ].flatMap((option) => ['-o', option]);
  run('apt-get', [...options, 'update', '-q']);
  run('apt-get', [...options, 'download', '-q', ...packages], { cwd: join(apt, 'packages') });
  for (const file of readdirSync(join(apt, 'packages'))) run('dpkg-deb', ['-x', join(apt, 'packages', file), into]);
  rmSync(apt, { recursive: true });
}

/** This machine's architecture, which apt requires, and those in the package names. */
function architectures(packages) {
  const named = packages.map((name) => name.split(':')[1]).filter(Boolean);
  return [...new Set([output('dpkg', ['--print-architecture']), ...named])];
}

/** The mirror of this machine. */
function debianMirror() {
  // apt knows the origin of a source only after an update: a fresh machine has not read it yet.
  if (!mirrorRead() && isRootOnDebian()) run('apt-get', ['update', '-q']);
  const mirror = mirrorRead();
  if (!mirror) throw new Failure('apt knows no mirror of Debian: run apt-get update, on a machine with Debian');
  return mirror;
}

function mirrorRead() {
  const wanted = ['Origin: Debian', 'Label: Debian', 'Component: main', 'Created-By: Packages'];
  return output('apt-get', ['indextargets', '--format', '$(REPO_URI)', ...wanted])?.split('\n')[0];
}
