// Servers other than the redis-server of this machine, for tests: each a folder with programs named redis-server and
// redis-cli, so that any suite uses them with that folder first in PATH. They are those of Debian 13, unpacked under
// target/ with their libraries, and run on an older Linux as well.

import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { aptUnpack } from './apt.mjs';
import { Failure, runIfMain, output, root } from './run.mjs';

const RELEASE = 'trixie';
const PACKAGES = [
  ...['valkey-server', 'valkey-tools', 'redis-server', 'redis-tools'],
  // Their libraries, and the libraries of those.
  ...['libc6', 'libssl3t64', 'libsystemd0', 'libjemalloc2', 'liblzf1', 'libatomic1', 'libcap2', 'libgcc-s1'],
  ...['libstdc++6', 'libzstd1', 'zlib1g', 'liblz4-1', 'liblzma5', 'libgcrypt20', 'libgpg-error0'],
];

/** The library path of a machine in Debian, and the name of its loader. */
const LOADERS = {
  x64: ['x86_64-linux-gnu', 'ld-linux-x86-64.so.2'],
  arm64: ['aarch64-linux-gnu', 'ld-linux-aarch64.so.1'],
};

/** By name: the program, the accepted versions, and the version's field in INFO. */
const servers = {
  'valkey-8.1': { program: 'valkey', series: '8.1', field: 'valkey_version' },
  'redis-8.0': { program: 'redis', series: '8.0', field: 'redis_version' },
};

const directory = join(root, 'target', 'servers');
const debian = join(directory, 'debian');
const done = join(directory, 'installed');

export const serverNames = Object.keys(servers);

/**
 * A server by its name, installed if it is missing. A suite with its `environment` uses it; `field` is the line of INFO
 * with its `version`.
 */
export function installedServer(name) {
  if (!servers[name]) throw new Failure(`${name}: it takes ${serverNames.join(', ')}`);
  if (!existsSync(done) || readFileSync(done, 'utf8') !== recipe()) installServers();
  const { program, series, field } = servers[name];
  const bin = join(directory, name, 'bin');
  const version = /v=([\d.]+)/.exec(output(join(bin, 'redis-server'), ['--version']) ?? '')?.[1];
  if (!version?.startsWith(`${series}.`)) throw new Failure(`${program}-server is ${version}, not ${series}`);
  console.log(`${program}-server ${version}`);
  return { name, version, field, environment: { PATH: `${bin}${delimiter}${process.env.PATH}` } };
}

function installServers() {
  if (process.platform !== 'linux' || !LOADERS[process.arch])
    throw new Failure('the other servers are those of Debian for x64 and arm64, which run on Linux');
  // An interrupted installation is started anew.
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(debian, { recursive: true });
  aptUnpack(RELEASE, PACKAGES, debian);
  for (const name of serverNames) {
    const bin = join(directory, name, 'bin');
    mkdirSync(bin, { recursive: true });
    for (const [file, text] of Object.entries(programs(servers[name]))) {
      writeFileSync(join(bin, file), text);
      chmodSync(join(bin, file), 0o755);
    }
  }
  writeFileSync(done, recipe());
}

/** The recipe of an installation, which is repeated when it changes. */
function recipe() {
  return JSON.stringify([RELEASE, PACKAGES, serverNames.map((name) => programs(servers[name]))]);
}

function programs({ program }) {
  return {
    // SERVERS_STARTED names a file that gets a line for each start: a suite without a start has tested nothing on this
    // server.
    'redis-server': script(
      `${program}-server`,
      '[ "$1" = --version ] || [ -z "$SERVERS_STARTED" ] || echo $$ >>"$SERVERS_STARTED"',
    ),
    'redis-cli': script(`${program}-cli`),
  };
}

/**
 * A shell script that replaces itself by the program, so that signals reach the program. The loader is that of the
 * program's own C library, because this machine's may not match.
 */
function script(program, ...before) {
  const [libraries, loader] = LOADERS[process.arch] ?? [];
  return [
    '#!/bin/sh',
    ...before,
    'usr=${0%/*}/../../debian/usr',
    `libraries=$usr/lib/${libraries}`,
    `exec "$libraries/${loader}" --library-path "$libraries" --argv0 ${program} "$usr/bin/${program}" "$@"`,
    '',
  ].join('\n');
}

await runIfMain(import.meta.url, () => serverNames.map(installedServer));
