// The list of platforms exists in several files, because each reader can read only one of them. They must agree.

import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import manifest from '../../package.json';
import { root } from '../support/consumer';
import { platforms } from '../support/platforms';

const read = (...path: string[]) => readFileSync(join(root, ...path), 'utf8');
const names = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map((match) => match[1]!);

const all = platforms.map(({ name }) => name);

test('package.json names the targets', () => {
  expect(manifest.napi.targets).toEqual(platforms.map(({ target }) => target));
  expect(manifest.napi).toMatchObject({ binaryName: 'rate-limit', packageName: manifest.name });
});

test('the loader tries each platform: the file next to the package, then the npm package', () => {
  const loader = read('lib', 'native.js');
  expect(names(loader, /require\('\.\.\/rate-limit\.([\w-]+)\.node'\)/g)).toEqual(all);
  expect(names(loader, /require\('@huntaze\/rate-limit-([\w-]+)'\)/g)).toEqual(all);
});

test('the workflow builds each platform', () => {
  const workflow = read('.github', 'workflows', 'ci.yml');
  const built = [...workflow.matchAll(/platform: ([\w-]+), target: ([\w-]+)/g)].map(([, name, target]) => ({
    name,
    target,
  }));
  expect(built).toEqual(platforms.map(({ name, target }) => ({ name, target })));
});

test('the workflow loads each platform, and publishes only loaded binaries', () => {
  const workflow = read('.github', 'workflows', 'ci.yml');
  expect(names(workflow, /platform: ([\w-]+), runner: /g)).toEqual(all);
  expect(workflow).toContain('needs: [test, rust, check, build, load]');
  // --release fails if a binary is missing; `--all` would omit it.
  expect(workflow).toContain('run: node scripts/pack.mjs --release');
});

test('npm/ holds a folder for each platform', () => {
  expect(readdirSync(join(root, 'npm')).sort()).toEqual([...all].sort());
});

test.each(platforms)('npm/$name declares its platform', ({ name, npm }) => {
  const addon = `rate-limit.${name}.node`;
  expect(JSON.parse(read('npm', name, 'package.json'))).toMatchObject({
    name: `${manifest.name}-${name}`,
    version: manifest.version,
    license: manifest.license,
    engines: manifest.engines,
    main: addon,
    files: [addon],
    ...npm,
  });
  // A libc field on other systems would make npm skip the package everywhere.
  expect(JSON.parse(read('npm', name, 'package.json')).libc).toEqual(npm.libc);
  expect(existsSync(join(root, 'npm', name, 'README.md'))).toBe(true);
});

test('the crate and the package have the same version', () => {
  expect(/^version = "(.+)"$/m.exec(read('Cargo.toml'))?.[1]).toBe(manifest.version);
});

test('npm ci needs no unpublished package, and the lock file names no registry', () => {
  expect(manifest).not.toHaveProperty('optionalDependencies');
  const lock = JSON.parse(read('package-lock.json')) as { packages: Record<string, { resolved?: string }> };
  const entries = Object.entries(lock.packages);
  expect(entries.length).toBeGreaterThan(100);
  expect(entries.filter(([path, { resolved }]) => path.includes('@huntaze') || resolved !== undefined)).toEqual([]);
});

test('the lock file is complete, with packages for other platforms: without them npm ci refuses it', () => {
  const lock = JSON.parse(read('package-lock.json')) as { packages: Record<string, { optionalDependencies?: object }> };
  const locked = new Set(Object.keys(lock.packages).map((path) => path.split('node_modules/').at(-1)));
  const wanted = Object.values(lock.packages).flatMap(({ optionalDependencies = {} }) =>
    Object.keys(optionalDependencies),
  );
  expect(wanted.length).toBeGreaterThan(20);
  expect(wanted.filter((name) => !locked.has(name))).toEqual([]);
});
