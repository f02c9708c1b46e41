import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build, type BuildOptions } from 'esbuild';

// An application bundled into one file, with the package in the bundle or external.

const ROOT = join(__dirname, '../..');
const ENTRY = `
  const { RateLimiter } = require(${JSON.stringify(ROOT)});
  const limiter = new RateLimiter({ name: 'bundled', limit: 2, windowMs: 60_000 });
  limiter.limit('id').then(({ remaining, source }) => console.log(remaining, source));`;

let directory: string;
beforeAll(() => (directory = mkdtempSync(join(tmpdir(), 'rate-limit-bundled-'))));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

async function bundled(options: BuildOptions) {
  writeFileSync(join(directory, 'app.js'), ENTRY);
  const all: BuildOptions = {
    entryPoints: [join(directory, 'app.js')],
    outdir: join(directory, 'out'),
    bundle: true,
    platform: 'node',
    logLevel: 'silent',
    ...options,
  };
  return build(all);
}

function run() {
  const env = { ...process.env, REDIS_URL: '' };
  return execFileSync(process.execPath, [join(directory, 'out/app.js')], { encoding: 'utf8', env }).trim();
}

test('in the bundle: the addon is copied, and missing platforms cause no error', async () => {
  const { errors, warnings } = await bundled({ loader: { '.node': 'copy' } });
  expect([errors, warnings]).toEqual([[], []]);
  expect(run()).toBe('1 memory');
});

test('external to the bundle', async () => {
  await bundled({ external: [ROOT] });
  expect(run()).toBe('1 memory');
});
