// The platforms are written down in several places, each for a reader that can read no other. They must say the same.

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

test('the loader tries each platform: the file beside the package, then the package', () => {
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

test('the workflow loads each platform, and publishes nothing that was not loaded', () => {
  const workflow = read('.github', 'workflows', 'ci.yml');
  expect(names(workflow, /platform: ([\w-]+), runner: /g)).toEqual(all);
  expect(workflow).toContain('needs: [test, rust, check, build, load]');
  // This fails where a binary is missing; `--all` leaves it out.
  expect(workflow).toContain('run: node scripts/pack.mjs --release');
});

test('npm/ holds a folder for each platform', () => {
  expect(readdirSync(join(root, 'npm')).sort()).toEqual([...all].sort());
});

test.each(platforms)('npm/$name says where it belongs', ({ name, npm }) => {
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
  // A libc where npm expects none would keep the package off every machine.
  expect(JSON.parse(read('npm', name, 'package.json')).libc).toEqual(npm.libc);
  expect(existsSync(join(root, 'npm', name, 'README.md'))).toBe(true);
});

test('the crate and the package are of one version', () => {
  expect(/^version = "(.+)"$/m.exec(read('Cargo.toml'))?.[1]).toBe(manifest.version);
});

test('npm ci asks for nothing that is not published yet, and the lock file for no registry of its own', () => {
  expect(manifest).not.toHaveProperty('optionalDependencies');
  const lock = JSON.parse(read('package-lock.json')) as { packages: Record<string, { resolved?: string }> };
  const entries = Object.entries(lock.packages);
  expect(entries.length).toBeGreaterThan(100);
  expect(entries.filter(([path, { resolved }]) => path.includes('@huntaze') || resolved !== undefined)).toEqual([]);
});

test('the lock file is complete, packages for other machines included: without them npm ci refuses it', () => {
  const lock = JSON.parse(read('package-lock.json')) as { packages: Record<string, { optionalDependencies?: object }> };
  const locked = new Set(Object.keys(lock.packages).map((path) => path.split('node_modules/').at(-1)));
  const wanted = Object.values(lock.packages).flatMap(({ optionalDependencies = {} }) =>
    Object.keys(optionalDependencies),
  );
  expect(wanted.length).toBeGreaterThan(20);
  expect(wanted.filter((name) => !locked.has(name))).toEqual([]);
});
