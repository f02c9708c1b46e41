// npm run pack:local: the package and binaries as tarballs in dist/, to be installed anywhere with `npm install
// <both>`.
//
//   npm run pack:local                the binary of this machine
//   npm run pack:local -- --all       of every platform: those that this machine can build, and existing ones in npm/;
//                                     a line names each omitted one
//   npm run pack:local -- --release   of every platform, from npm/: none is built, and none may be missing

import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, relative } from 'node:path';
import { canBuild, hostPlatform, platforms } from './platforms.mjs';
import { addonPath, prebuild } from './prebuild.mjs';
import { Failure, runIfMain, output, root } from './run.mjs';

const dist = join(root, 'dist');

export function pack(option) {
  const { built, packed, omitted } = selectPlatforms(option, (platform) => existsSync(addonPath(platform)));
  if (option === '--release' && omitted.length > 0)
    throw new Failure(`a release has every binary; npm/ lacks ${omitted.map(({ name }) => name).join(', ')}`);
  if (built.length > 0) prebuild(...built);
  const tarballs = packInto(dist, packed);
  console.log(tarballs.map((file) => relative(root, file)).join('\n'));
  for (const { name } of omitted)
    console.log(`left out: ${name}, which is built on its own kind of machine; npm/${name}/ has no binary`);
}

/** The platforms to build, to pack and to omit; `hasBinary` returns whether a binary is in npm/. */
export function selectPlatforms(option, hasBinary) {
  if (option === undefined) return { built: [hostPlatform()], packed: [hostPlatform()], omitted: [] };
  if (option !== '--all' && option !== '--release')
    throw new Failure(`unknown option ${option}; there are --all and --release`);
  const built = option === '--all' ? platforms.filter(canBuild) : [];
  const packed = platforms.filter((platform) => built.includes(platform) || hasBinary(platform));
  return { built, packed, omitted: platforms.filter((platform) => !packed.includes(platform)) };
}

/**
 * Packs the package and the binaries of `packed`, by default those in npm/, into a folder that is emptied first.
 * Returns the tarballs, the package's first.
 */
export function packInto(directory, packed, binaryOf = addonPath) {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  // A temporary folder: other processes may be packing at the same time.
  const staging = mkdtempSync(join(tmpdir(), 'rate-limit-pack-'));
  try {
    const staged = [
      stagePackage(staging, packed),
      ...packed.map((platform) => stagePlatform(staging, platform, binaryOf(platform))),
    ];
    return staged.map((folder) => join(directory, npmPack(folder, directory)));
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

/**
 * The package as it is published. Its manifest lists the binaries packed with it as optional dependencies; the one in
 * the repository lists none, because `npm ci` would need them before they are published.
 */
function stagePackage(staging, packed) {
  const { scripts, devDependencies, jest, prettier, napi, ...manifest } = readManifest(root);
  const { name, version } = manifest;
  manifest.optionalDependencies = Object.fromEntries(packed.map((platform) => [`${name}-${platform.name}`, version]));
  const directory = stage(staging, 'package', manifest);
  for (const file of ['index.js', 'index.d.ts', 'types', 'lib', 'README.md', 'CHANGELOG.md', 'LICENSE'])
    copy(join(root, file), directory);
  return directory;
}

function stagePlatform(staging, platform, binary) {
  const from = join(root, 'npm', platform.name);
  const { version } = readManifest(root);
  const manifest = readManifest(from);
  if (manifest.version !== version)
    throw new Failure(`npm/${platform.name} is of version ${manifest.version}, the package of ${version}`);
  if (!existsSync(binary)) throw new Failure(`${binary} is missing: node scripts/prebuild.mjs ${platform.name}`);
  const directory = stage(staging, platform.name, manifest);
  for (const file of [binary, join(from, 'README.md'), join(root, 'LICENSE')]) copy(file, directory);
  return directory;
}

function readManifest(directory) {
  return JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));
}

function stage(staging, name, manifest) {
  const directory = join(staging, name);
  mkdirSync(directory);
  writeFileSync(join(directory, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  return directory;
}

function copy(from, directory) {
  cpSync(from, join(directory, basename(from)), { recursive: true });
}

function npmPack(folder, into) {
  const printed = output('npm', ['pack', folder, '--pack-destination', into, '--json', '--ignore-scripts']);
  if (printed === undefined) throw new Failure(`failed: npm pack ${folder}`);
  const [{ filename }] = Object.values(JSON.parse(printed));
  return filename;
}

await runIfMain(import.meta.url, pack);
