// The packed files, by the binaries that exist. A copy of the scripts packs in a temporary folder, so that dist/ and
// npm/ are unchanged.

import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { name, version } from '../../package.json';
import { root } from '../support/consumer';
import { host, platforms } from '../support/platforms';

const all = platforms.map((platform) => platform.name);
const tarball = (platform: string) => `huntaze-rate-limit-${platform}-${version}.tgz`;

let copy: string;
beforeEach(() => {
  copy = realpathSync(mkdtempSync(join(tmpdir(), 'rate-limit-pack-')));
  for (const file of ['scripts', 'npm', 'lib', 'types', 'index.js', 'index.d.ts', 'package.json'])
    cpSync(join(root, file), join(copy, file), { recursive: true, filter: (path) => !path.endsWith('.node') });
  for (const file of ['README.md', 'CHANGELOG.md', 'LICENSE']) cpSync(join(root, file), join(copy, file));
});
afterEach(() => rmSync(copy, { recursive: true, force: true }));

function putBinaries(names: string[]) {
  for (const one of names) writeFileSync(join(copy, 'npm', one, `rate-limit.${one}.node`), 'a library');
}

function pack(option: string) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['scripts/pack.mjs', option], {
    cwd: copy,
    encoding: 'utf8',
  });
  return { status, stdout, stderr: stderr.trim() };
}

/** The files in a tarball that was packed here. */
function listed(tarball: string): string[] {
  const printed = execFileSync('tar', ['-tzf', tarball], { cwd: join(copy, 'dist'), encoding: 'utf8' });
  return printed.trim().split('\n').sort();
}

/** The content of a file in a tarball that was packed here. */
function contents(tarball: string, file: string): string {
  return execFileSync('tar', ['-xOzf', tarball, file], { cwd: join(copy, 'dist'), encoding: 'utf8' });
}

/** The script's decision for an option with the binaries of `present` in npm/, by name. */
function selectPlatforms(option: string | undefined, present: string[]) {
  const script = `
    import { selectPlatforms } from './scripts/pack.mjs';
    const all = selectPlatforms(${JSON.stringify(option)}, ({ name }) => ${JSON.stringify(present)}.includes(name));
    const names = Object.entries(all).map(([kind, platforms]) => [kind, platforms.map(({ name }) => name)]);
    console.log(JSON.stringify(Object.fromEntries(names)));`;
  const args = ['--input-type=module', '--eval', script];
  return JSON.parse(execFileSync(process.execPath, args, { cwd: root, encoding: 'utf8' }));
}

test('without an option this machine’s binary is built and packed', () => {
  const own = [host.name];
  expect(selectPlatforms(undefined, [])).toEqual({ built: own, packed: own, omitted: [] });
  expect(selectPlatforms(undefined, all)).toEqual({ built: own, packed: own, omitted: [] });
});

test('--all builds the platforms of this machine, takes existing binaries, and omits the rest', () => {
  const os = process.platform;
  const built = platforms.filter(({ npm }) => npm.os[0] === 'linux' || npm.os[0] === os).map((one) => one.name);
  const others = all.filter((one) => !built.includes(one));
  expect(built).toEqual(
    expect.arrayContaining(['linux-x64-gnu', 'linux-x64-musl', 'linux-arm64-gnu', 'linux-arm64-musl']),
  );
  expect(selectPlatforms('--all', [])).toEqual({ built, packed: built, omitted: others });
  expect(selectPlatforms('--all', others)).toEqual({ built, packed: all, omitted: [] });
  expect(selectPlatforms('--all', [others[0]!])).toEqual({
    built,
    packed: all.filter((one) => built.includes(one) || one === others[0]),
    omitted: others.slice(1),
  });
});

test('--release packs all seven, builds none, and each tarball has the expected files', () => {
  putBinaries(all);
  const { status, stdout, stderr } = pack('--release');
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const files = [`huntaze-rate-limit-${version}.tgz`, ...all.map(tarball)];
  expect(stdout.trim().split('\n')).toEqual(files.map((file) => join('dist', file)));
  expect(readdirSync(join(copy, 'dist')).sort()).toEqual(files.sort());
  const manifest = JSON.parse(contents(`huntaze-rate-limit-${version}.tgz`, 'package/package.json'));
  expect(manifest.optionalDependencies).toEqual(Object.fromEntries(all.map((one) => [`${name}-${one}`, version])));
  // An exact list: a missing file, or an additional one, fails here first.
  expect(listed(`huntaze-rate-limit-${version}.tgz`)).toEqual(
    [
      ...['CHANGELOG.md', 'LICENSE', 'README.md', 'index.d.ts', 'index.js', 'package.json'],
      ...[
        'abi',
        'bridge',
        'context',
        'creators',
        'elf',
        'errors',
        'events',
        'lazy-limiter',
        'limiter',
        'native',
        'options',
        'plans',
        'validate',
        'credentials/aws-credentials',
        'credentials/elasticache-iam',
        'credentials/password',
        'credentials/presign',
        'credentials/token-cache',
        'diagnostics/route',
        'diagnostics/test-connection',
        'diagnostics/troubleshooting',
        'http/headers',
        'http/response',
        'http/with-rate-limit',
        'metrics/cloudwatch',
        'metrics/families',
        'metrics/open-telemetry',
        'metrics/prometheus',
        'metrics/snapshot',
        'metrics/top-creators',
      ].map((file) => `lib/${file}.js`),
      ...['connection', 'http', 'iam', 'metrics'].map((file) => `types/${file}.d.ts`),
    ]
      .map((file) => `package/${file}`)
      .sort(),
  );
  for (const one of all) {
    const files = ['LICENSE', 'README.md', 'package.json', `rate-limit.${one}.node`];
    expect(listed(tarball(one))).toEqual(files.map((file) => `package/${file}`));
  }
}, 120_000);

test.each(all)('--release fails without %s, and packs nothing', (missing) => {
  putBinaries(all.filter((one) => one !== missing));
  expect(pack('--release')).toEqual({
    status: 1,
    stdout: '',
    stderr: `error: a release has every binary; npm/ lacks ${missing}`,
  });
  expect(existsSync(join(copy, 'dist'))).toBe(false);
});

test('another option is refused', () => {
  expect(pack('--every')).toMatchObject({ status: 1, stderr: expect.stringContaining('--all and --release') });
});
