'use strict';

const { coded } = require('./errors.js');
const { version } = require('../package.json');

// Literal requires, one a platform: bundlers and file tracers follow nothing else. The build beside the package comes
// first, for those who work on it. Under Linux both C libraries are tried: the wrong one fails to load.
/** @type {Record<string, (() => import('./native.d.ts').Binding)[]>} */
const binaries = {
  'linux-x64-gnu': [
    () => require('../rate-limit.linux-x64-gnu.node'),
    () => require('@huntaze/rate-limit-linux-x64-gnu'),
  ],
  'linux-x64-musl': [
    () => require('../rate-limit.linux-x64-musl.node'),
    () => require('@huntaze/rate-limit-linux-x64-musl'),
  ],
  'linux-arm64-gnu': [
    () => require('../rate-limit.linux-arm64-gnu.node'),
    () => require('@huntaze/rate-limit-linux-arm64-gnu'),
  ],
  'linux-arm64-musl': [
    () => require('../rate-limit.linux-arm64-musl.node'),
    () => require('@huntaze/rate-limit-linux-arm64-musl'),
  ],
  'darwin-x64': [() => require('../rate-limit.darwin-x64.node'), () => require('@huntaze/rate-limit-darwin-x64')],
  'darwin-arm64': [() => require('../rate-limit.darwin-arm64.node'), () => require('@huntaze/rate-limit-darwin-arm64')],
  'win32-x64': [
    () => require('../rate-limit.win32-x64-msvc.node'),
    () => require('@huntaze/rate-limit-win32-x64-msvc'),
  ],
};

function load() {
  if (process.env.NEXT_RUNTIME === 'edge') {
    throw coded(
      new Error(
        "@huntaze/rate-limit is a native addon and cannot run in the edge runtime; set `export const runtime = 'nodejs'` in the route.",
      ),
      'ERR_RATE_LIMIT_PLATFORM',
    );
  }
  const platform = `${process.platform}-${process.arch}`;
  const fitting = Object.keys(binaries).filter((name) => name === platform || name.startsWith(`${platform}-`));
  const reasons = [];
  for (const name of fitting) {
    for (const attempt of binaries[name] ?? []) {
      try {
        return attempt();
      } catch (error) {
        // A file that is not there is the rule; one that is there and does not load is worth telling.
        const { code, message } = /** @type {NodeJS.ErrnoException} */ (error ?? {});
        if (code !== 'MODULE_NOT_FOUND') reasons.push(String(message));
      }
    }
  }
  const carriers = fitting.map((name) => `@huntaze/rate-limit-${name === 'win32-x64' ? 'win32-x64-msvc' : name}`);
  const mend = carriers.length
    ? `Install ${carriers.join(' or ')} (an optional dependency: check that npm was not run with --omit=optional)`
    : 'There is no prebuilt binary for it';
  throw coded(
    new Error(
      `@huntaze/rate-limit has no binary for ${platform}. ${mend}, or build one with Rust: npm run build` +
        (reasons.length ? `. Found but not loadable: ${reasons.join('; ')}` : ''),
    ),
    'ERR_RATE_LIMIT_PLATFORM',
  );
}

const binding = load();
const constants = binding.constants();
if (constants.version !== version) {
  throw coded(
    new Error(
      `@huntaze/rate-limit ${version} found a binary of version ${constants.version}; reinstall, or rebuild with: npm run build`,
    ),
    'ERR_RATE_LIMIT_PLATFORM',
  );
}

module.exports = { binding, constants };
