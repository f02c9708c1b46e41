// Both bundlers build the application into a standalone folder that contains the addon, and nothing connects during the
// build.

import { existsSync, readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { isAbsolute, join, relative } from 'node:path';
import { root } from '../support/consumer';
import { until } from '../support/failures/fixture';
import { host } from '../support/platforms';
import { type App, buildOutput, bundlers, folderOf, startApp } from './support/app';
import { burst } from './support/bursts';

const addon = join('node_modules', `@huntaze/rate-limit-${host.name}`, `rate-limit.${host.name}.node`);

/** All entries of a folder, by relative path. */
function entries(folder: string) {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).map((entry) => ({
    path: relative(folder, join(entry.parentPath, entry.name)),
    isLink: entry.isSymbolicLink(),
  }));
}

test('the lock file pins every package, and names no registry', () => {
  const { packages } = JSON.parse(readFileSync(join(root, 'examples/nextjs/package-lock.json'), 'utf8'));
  for (const [path, { integrity, resolved }] of Object.entries<Record<string, string>>(packages)) {
    expect({ path, integrity, resolved }).toEqual({
      path,
      integrity: path === '' ? undefined : expect.stringMatching(/^sha512-/),
      resolved: undefined,
    });
  }
});

test('a build connects to no Redis', () => {
  expect(buildOutput('turbopack')).toMatchObject({ connections: 0, counted: true });
});

test('a build works while the configured Redis is unavailable', () => {
  expect(buildOutput('webpack').printed).toContain('/api/ai/chat');
});

describe.each(bundlers)('%s', (bundler) => {
  const folder = folderOf(bundler);
  const report = join(folder, 'report.json');
  let app: App;
  beforeAll(async () => {
    app = await startApp({ bundler, env: { NODE_OPTIONS: `--report-on-signal --report-filename=${report}` } });
  });
  afterAll(() => app?.stop());

  test('neither warns nor fails', () => {
    expect(buildOutput(bundler).printed).not.toMatch(/⚠|warning|failed/i);
  });

  test('asked the limiter for the plans while building the home page', async () => {
    const page = readFileSync(join(folder, '.next', 'server', 'app', 'index.html'), 'utf8').replaceAll('<!-- -->', '');
    for (const words of ['starter: 50 ', 'pro: 100 ', 'business: 500 ']) expect(page).toContain(words);
    expect(await (await fetch(app.url)).text()).toContain('business');
  });

  test('traces the addon, once', () => {
    const addons = entries(folder).filter(({ path }) => /rate-limit[^/\\]*\.node$/.test(path));
    expect(addons).toEqual([{ path: addon, isLink: false }]);
  });

  test('contains no link out of its folder', () => {
    for (const { path } of entries(folder).filter(({ isLink }) => isLink)) {
      expect(isAbsolute(readlinkSync(join(folder, path)))).toBe(false);
      const target = relative(folder, realpathSync(join(folder, path)));
      expect(target.startsWith('..')).toBe(false);
    }
  });

  test('loads the addon of its folder', async () => {
    await (await app.chat('of-a-build')).arrayBuffer();
    process.kill(app.pid, 'SIGUSR2');
    await until(() => existsSync(report) && readFileSync(report, 'utf8').endsWith('}\n'));
    const { sharedObjects } = JSON.parse(readFileSync(report, 'utf8')) as { sharedObjects: string[] };
    expect(sharedObjects.filter((file) => file.includes('rate-limit.'))).toEqual([join(folder, addon)]);
  });

  test('counts a quota', async () => {
    expect(await burst([app], 'of-a-quota', 51)).toEqual({ 200: 50, 429: 1 });
  });
});
