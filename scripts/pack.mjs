// npm run pack:local: the package and the binary of this machine as tarballs in dist/, to be installed anywhere with
// `npm install <both>`. With --all: of every platform, whose binaries must be in npm/ (the release does that).

import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { hostPlatform, platforms } from './platforms.mjs';
import { addonPath, prebuild } from './prebuild.mjs';
import { Failure, asMain, output, root } from './run.mjs';

const dist = join(root, 'dist');
const staging = join(root, 'target', 'pack');

export function pack(option) {
  if (option !== undefined && option !== '--all') throw new Failure(`unknown option ${option}; there is --all`);
  const packed = option === '--all' ? platforms : [hostPlatform()];
  if (option !== '--all') prebuild(packed[0]);
  rmSync(dist, { recursive: true, force: true });
  rmSync(staging, { recursive: true, force: true });
  for (const directory of [dist, staging]) mkdirSync(directory, { recursive: true });
  const tarballs = [npmPack(stagePackage(packed)), ...packed.map((platform) => npmPack(stagePlatform(platform)))];
  console.log(tarballs.map((file) => `dist/${file}`).join('\n'));
}

/**
 * The package as it is published. Its manifest names the binaries packed with it as optional dependencies; the one in
 * the repository names none, for `npm ci` would look for them before they are published.
 */
function stagePackage(packed) {
  const { scripts, devDependencies, jest, prettier, napi, ...manifest } = readManifest(root);
  const { name, version } = manifest;
  manifest.optionalDependencies = Object.fromEntries(packed.map((platform) => [`${name}-${platform.name}`, version]));
  const directory = stage('package', manifest);
  for (const file of ['index.js', 'index.d.ts', 'types', 'face', 'README.md', 'CHANGELOG.md', 'LICENSE'])
    copy(join(root, file), directory);
  return directory;
}

function stagePlatform(platform) {
  const from = join(root, 'npm', platform.name);
  const { version } = readManifest(root);
  const manifest = readManifest(from);
  if (manifest.version !== version)
    throw new Failure(`npm/${platform.name} is of version ${manifest.version}, the package of ${version}`);
  if (!existsSync(addonPath(platform)))
    throw new Failure(`${addonPath(platform)} is missing: node scripts/prebuild.mjs ${platform.name}`);
  const directory = stage(platform.name, manifest);
  for (const file of [addonPath(platform), join(from, 'README.md'), join(root, 'LICENSE')]) copy(file, directory);
  return directory;
}

function readManifest(directory) {
  return JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));
}

function stage(name, manifest) {
  const directory = join(staging, name);
  mkdirSync(directory);
  writeFileSync(join(directory, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  return directory;
}

function copy(from, directory) {
  cpSync(from, join(directory, basename(from)), { recursive: true });
}

function npmPack(directory) {
  const printed = output('npm', ['pack', directory, '--pack-destination', dist, '--json', '--ignore-scripts']);
  if (printed === undefined) throw new Failure(`failed: npm pack ${directory}`);
  const [{ filename }] = Object.values(JSON.parse(printed));
  return filename;
}

await asMain(import.meta.url, pack);
