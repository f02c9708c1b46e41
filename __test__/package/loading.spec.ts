// If the addon cannot be loaded, the Error says why and what to do. Each case runs in its own process.

import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import manifest from '../../package.json';
import { root } from '../support/consumer';
import { host } from '../support/platforms';

/** Loads the package at `directory` in a new process that pretends to be another platform. */
function load(
  directory: string,
  { platform = process.platform as string, arch = process.arch as string, env = {} } = {},
) {
  const script = `
    Object.defineProperty(process, 'platform', { value: ${JSON.stringify(platform)} });
    Object.defineProperty(process, 'arch', { value: ${JSON.stringify(arch)} });
    let outcome = 'loaded';
    try {
      require(${JSON.stringify(directory)});
    } catch (error) {
      outcome = { message: error.message, code: error.code, isError: error instanceof Error, cause: error.cause?.message };
    }
    console.log(JSON.stringify(outcome));`;
  const printed = execFileSync(process.execPath, ['--eval', script], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
  return JSON.parse(printed);
}

const refusal = (...parts: string[]) => ({
  isError: true,
  code: 'ERR_RATE_LIMIT_PLATFORM',
  message: expect.stringMatching(
    new RegExp(parts.map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.*'), 's'),
  ),
});

test('loads on the platform it was built for', () => {
  expect(load(root)).toBe('loaded');
});

test.each([
  ['darwin', 'arm64', ['@huntaze/rate-limit-darwin-arm64']],
  ['darwin', 'x64', ['@huntaze/rate-limit-darwin-x64']],
  ['linux', 'arm64', ['@huntaze/rate-limit-linux-arm64-gnu', '@huntaze/rate-limit-linux-arm64-musl']],
  ['win32', 'x64', ['@huntaze/rate-limit-win32-x64-msvc']],
])(
  'without the binary of %s-%s it names the platform, the package and the build command',
  (platform, arch, carriers) => {
    expect(load(root, { platform, arch })).toEqual(refusal(`${platform}-${arch}`, ...carriers, 'npm run build'));
  },
);

test('an unsupported platform is named', () => {
  expect(load(root, { platform: 'sunos', arch: 'sparc64' })).toEqual(
    refusal('sunos-sparc64', 'no prebuilt binary', 'npm run build'),
  );
  // Not mistaken for arm64, whose name begins alike.
  expect(load(root, { platform: 'linux', arch: 'arm' })).toEqual(refusal('linux-arm', 'no prebuilt binary'));
});

test('in the edge runtime the error says what to set', () => {
  expect(load(root, { env: { NEXT_RUNTIME: 'edge' } })).toEqual(
    refusal('edge runtime', "export const runtime = 'nodejs'"),
  );
  expect(load(root, { env: { NEXT_RUNTIME: 'nodejs' } })).toBe('loaded');
});

describe('a copy of the package', () => {
  const addon = `rate-limit.${host.name}.node`;
  let copy: string;
  beforeEach(() => {
    copy = mkdtempSync(join(tmpdir(), 'rate-limit-copy-'));
    for (const file of ['index.js', 'lib', 'package.json', addon])
      cpSync(join(root, file), join(copy, file), { recursive: true });
  });
  afterEach(() => rmSync(copy, { recursive: true, force: true }));

  test('loads', () => {
    expect(load(copy)).toBe('loaded');
  });

  test('refuses a binary of another version', () => {
    writeFileSync(join(copy, 'package.json'), JSON.stringify({ ...manifest, version: '9.9.9' }));
    expect(load(copy)).toEqual(refusal('9.9.9', manifest.version, 'npm run build'));
  });

  test('reports why an existing binary does not load', () => {
    writeFileSync(join(copy, addon), 'not a library');
    expect(load(copy)).toEqual({
      ...refusal(
        `${process.platform}-${process.arch}`,
        `${manifest.name}-${host.name}`,
        'Found but not loadable',
        addon,
      ),
      cause: expect.stringContaining(addon),
    });
  });

  /** Replaces the binary by a damaged one. */
  function damage(make: (whole: Buffer) => Buffer) {
    writeFileSync(join(copy, addon), make(readFileSync(join(root, addon))));
  }

  // Loaded directly, the damaged Linux binaries end the process without a message.
  const damages: [string, (whole: Buffer) => Buffer][] = [
    ['cut to half', (whole) => whole.subarray(0, whole.length / 2)],
    ['without its last byte', (whole) => whole.subarray(0, -1)],
    ['empty', () => Buffer.alloc(0)],
    ['with its first bytes alone', (whole) => whole.subarray(0, 100)],
  ];
  if (process.platform === 'linux') {
    damages.push(
      ['with zeros from the middle on', (whole) => Buffer.concat([whole.subarray(0, whole.length / 2)], whole.length)],
      ['with inserted bytes', (whole) => Buffer.concat([whole.subarray(0, 9999), whole.subarray(9990)])],
    );
  }

  test.each(damages)('reports a binary %s, the reason, and what to do', (_, make) => {
    damage(make);
    expect(load(copy)).toEqual({
      ...refusal(`${manifest.name}-${host.name}`, 'anew', 'npm run build', 'Found but not loadable', join(copy, addon)),
      cause: expect.stringContaining(addon),
    });
  });

  if (process.platform === 'linux') {
    test('loads a patched or stripped binary', () => {
      damage((whole) => Buffer.concat([whole, Buffer.alloc(4096)]));
      expect(load(copy)).toBe('loaded');
      damage((whole) => {
        // Without the section table: no loader of libraries reads it.
        const end = Number(whole.readBigUInt64LE(40));
        whole.fill(0, 40, 48).fill(0, 60, 64);
        return whole.subarray(0, end);
      });
      expect(load(copy)).toBe('loaded');
    });
  }

  test('loads from a read-only folder', () => {
    for (const path of [join(copy, addon), join(copy, 'lib'), copy]) chmodSync(path, 0o555);
    expect(load(copy)).toBe('loaded');
    for (const path of [join(copy, 'lib'), copy]) chmodSync(path, 0o755);
  });
});
