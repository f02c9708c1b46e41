// The packed tarballs as users install them: in a folder of their own, on a machine without Rust, the package works.

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { name, version } from '../../package.json';
import { Consumer, root } from '../support/consumer';
import { host } from '../support/platforms';

const addon = `rate-limit.${host.name}.node`;
const tarballs = [`huntaze-rate-limit-${version}.tgz`, `huntaze-rate-limit-${host.name}-${version}.tgz`] as const;

let consumer: Consumer;
let installed: string;

// npm installs three hundred packages.
beforeAll(() => {
  consumer = new Consumer();
  consumer.installTools();
  const files = packedInto(join(consumer.directory, 'tarballs'));
  installed = consumer.run('npm', 'install', '--no-audit', '--no-fund', ...files);
}, 900_000);
afterAll(() => consumer?.remove());

test('the manifest depends on the binaries it was packed with, and has no install script', () => {
  const manifest = JSON.parse(consumer.read(`node_modules/${name}/package.json`));
  expect(manifest.optionalDependencies).toEqual({ [`${name}-${host.name}`]: version });
  expect(manifest).not.toHaveProperty('scripts');
  expect(manifest).not.toHaveProperty('dependencies');
  expect(manifest).not.toHaveProperty('devDependencies');
});

test('npm installs it without a warning, and without Rust', () => {
  expect(installed).toMatch(/added 2 packages/);
  expect(() => consumer.run('cargo', '--version')).toThrow('ENOENT');
  expect(() => consumer.run('rustc', '--version')).toThrow('ENOENT');
});

// Other platforms have no glibc.
if (host.name.endsWith('-gnu')) {
  test('the packing script’s ELF reader finds the same glibc versions as readelf', () => {
    const file = join(consumer.directory, 'node_modules', `${name}-${host.name}`, addon);
    const versions =
      execFileSync('readelf', ['--version-info', file], { encoding: 'utf8' }).match(/GLIBC_[\d.]+/g) ?? [];
    const sorted = [...new Set(versions)].map((v) => v.slice('GLIBC_'.length)).sort(byVersion);
    expect(sorted.length).toBeGreaterThan(0);
    const ours = execFileSync(process.execPath, ['scripts/glibc.mjs', file], { cwd: root, encoding: 'utf8' });
    expect(ours.trim().split('\n')).toEqual(sorted);
  });
}

test('import and require give the same names and one RateLimitError', () => {
  expect(JSON.parse(consumer.run('node', 'both.mjs'))).toEqual({
    names: [
      ...[
        'checkCreatorRateLimit',
        'getRateLimitStatus',
        'resetCreatorRateLimit',
        'configure',
        'onAnomaly',
        'onStoreStateChange',
        'close',
      ],
      ...['testConnection', 'connectionRoute', 'RateLimiter', 'RateLimitError', 'rateLimitHeaders', 'withRateLimit'],
      ...['getMetrics', 'prometheusMetrics', 'cloudWatchMetrics', 'observeMetrics', 'topCreators'],
      'elastiCacheIam',
    ],
    sameClass: true,
    error: { name: 'RateLimitError', code: 'RATE_LIMITED', message: 'Rate limit exceeded', limit: 1, remaining: 0 },
  });
});

test('works under Jest', () => {
  const result = consumer.bin('jest/bin/jest.js', '--rootDir', 'jest', '--json');
  expect(JSON.parse(result)).toMatchObject({ success: true, numPassedTests: 3, numTotalTests: 3 });
}, 60_000);

test('works under Vitest', () => {
  const result = consumer.bin('vitest/vitest.mjs', 'run', '--root', 'vitest', '--reporter', 'json');
  expect(JSON.parse(result)).toMatchObject({ success: true, numPassedTests: 2, numTotalTests: 2 });
}, 60_000);

test.each([
  { module: 'node16', moduleResolution: 'node16', files: ['types/route.mts', 'types/route.cts'] },
  { module: 'nodenext', moduleResolution: 'nodenext', files: ['types/route.mts', 'types/route.cts'] },
  { module: 'esnext', moduleResolution: 'bundler', files: ['types/route.mts'] },
])(
  'its types are found under moduleResolution $moduleResolution',
  ({ module, moduleResolution, files }) => {
    const options = [
      '--noEmit',
      '--strict',
      '--target',
      'es2022',
      '--lib',
      'es2022,dom',
      '--types',
      '',
      '--skipLibCheck',
      'false',
    ];
    const printed = consumer.bin(
      'typescript/bin/tsc',
      ...options,
      '--module',
      module,
      '--moduleResolution',
      moduleResolution,
      ...files,
    );
    expect(printed).toBe('');
  },
  60_000,
);

/**
 * Packs like `npm run pack:local`, with the binary beside index.js: the release binary takes minutes to build, and
 * test:all loads it.
 */
function packedInto(folder: string): string[] {
  const script = `
    import { packInto } from './scripts/pack.mjs';
    import { addonFile, hostPlatform } from './scripts/platforms.mjs';
    packInto(${JSON.stringify(folder)}, [hostPlatform()], addonFile);`;
  execFileSync(process.execPath, ['--input-type=module', '--eval', script], { cwd: root, stdio: 'pipe' });
  return tarballs.map((file) => join(folder, file));
}

function byVersion(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}
