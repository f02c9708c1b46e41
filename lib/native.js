'use strict';

const { createRequire } = require('node:module');
const { damageOf } = require('./elf.js');
const { coded } = require('./errors.js');
const { version } = require('../package.json');

// Literal requires for each platform: bundlers and file tracers follow nothing else. A local build comes first, for
// development of this package. On Linux the binaries of both C libraries are tried: the wrong one fails to load. Each
// require has a `try` of its own: a bundler then defers a package that is not installed to run time and does not fail.
/** @type {Record<string, (() => import('./addon.d.ts').Binding | undefined)[]>} */
const binaries = {
  'linux-x64-gnu': [
    () => {
      try {
        return require('../rate-limit.linux-x64-gnu.node');
      } catch (error) {
        return ignoreMissing(error);
      }
    },
    () => {
      try {
        return require('@huntaze/rate-limit-linux-x64-gnu');
      } catch (error) {
        return ignoreMissing(error);
      }
    },
  ],
  'linux-x64-musl': [
    () => {
      try {
        return require('../rate-limit.linux-x64-musl.node');
      } catch (error) {
        return ignoreMissing(error);
      }
    },
    () => {
      try {
        return require('@huntaze/rate-limit-linux-x64-musl');
      } catch (error) {
        return ignoreMissing(error);
      }
    },
  ],
  'linux-arm64-gnu': [
    () => {
      try {
        return require('../rate-limit.linux-arm64-gnu.node');
      } catch (error) {
        return ignoreMissing(error);
      }
    },
    () => {
      try {
        return require('@huntaze/rate-limit-linux-arm64-gnu');
      } catch (error) {
        return ignoreMissing(error);
      }
    },
  ],
  'linux-arm64-musl': [
    () => {
      try {
        return require('../rate-limit.linux-arm64-musl.node');
      } catch (error) {
        return ignoreMissing(error);
      }
    },
    () => {
      try {
        return require('@huntaze/rate-limit-linux-arm64-musl');
      } catch (error) {
        return ignoreMissing(error);
      }
    },
  ],
  'darwin-x64': [
    () => {
      try {
        return require('../rate-limit.darwin-x64.node');
      } catch (error) {
        return ignoreMissing(error);
      }
    },
    () => {
      try {
        return require('@huntaze/rate-limit-darwin-x64');
      } catch (error) {
        return ignoreMissing(error);
      }
    },
  ],
  'darwin-arm64': [
    () => {
      try {
        return require('../rate-limit.darwin-arm64.node');
      } catch (error) {
        return ignoreMissing(error);
      }
    },
    () => {
      try {
        return require('@huntaze/rate-limit-darwin-arm64');
      } catch (error) {
        return ignoreMissing(error);
      }
    },
  ],
  'win32-x64': [
    () => {
      try {
        return require('../rate-limit.win32-x64-msvc.node');
      } catch (error) {
        return ignoreMissing(error);
      }
    },
    () => {
      try {
        return require('@huntaze/rate-limit-win32-x64-msvc');
      } catch (error) {
        return ignoreMissing(error);
      }
    },
  ],
};

/**
 * Returns undefined for a file that does not exist, the usual case. Throws if the file exists and does not load.
 *
 * @param {unknown} error
 */
function ignoreMissing(error) {
  if (/** @type {NodeJS.ErrnoException | undefined} */ (error)?.code === 'MODULE_NOT_FOUND') return undefined;
  throw error;
}

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
  const candidates = Object.keys(binaries).filter((name) => name === platform || name.startsWith(`${platform}-`));
  const reasons = [];
  for (const name of candidates) {
    const paths = [`../rate-limit.${suffixOf(name)}.node`, `@huntaze/rate-limit-${suffixOf(name)}`];
    for (const [i, attempt] of (binaries[name] ?? []).entries()) {
      try {
        refuseDamaged(paths[i]);
        const binding = attempt();
        if (binding !== undefined) return binding;
      } catch (error) {
        reasons.push(error);
      }
    }
  }
  if (reasons.length > 0) throw notLoadable(platform, candidates, reasons);
  const packages = candidates.map((name) => `@huntaze/rate-limit-${suffixOf(name)}`);
  const remedy = packages.length
    ? `Install ${packages.join(' or ')} (an optional dependency: check that npm was not run with --omit=optional)`
    : 'There is no prebuilt binary for it';
  throw coded(
    new Error(`@huntaze/rate-limit has no binary for ${platform}. ${remedy}, or build one with Rust: npm run build`),
    'ERR_RATE_LIMIT_PLATFORM',
  );
}

/** @param {string} name */
function suffixOf(name) {
  return name === 'win32-x64' ? 'win32-x64-msvc' : name;
}

/**
 * Throws if the file that would be loaded is truncated. Does nothing if the file is unknown, as in a bundle that has it
 * under another name.
 *
 * @param {string} path
 */
function refuseDamaged(path) {
  let file;
  let damage;
  try {
    // Not `require.resolve`: bundlers would follow it and replace it by a number.
    file = createRequire(__filename).resolve(path);
    damage = damageOf(file);
  } catch {
    return;
  }
  if (damage !== undefined) throw coded(new Error(`${file}: the file is damaged: ${damage}`), 'ERR_DLOPEN_FAILED');
}

/**
 * @param {string} platform
 * @param {string[]} candidates
 * @param {unknown[]} reasons
 */
function notLoadable(platform, candidates, reasons) {
  const packages = candidates.map((name) => `@huntaze/rate-limit-${suffixOf(name)}`);
  const found = reasons.map((reason) => String(/** @type {Partial<Error>} */ (reason)?.message ?? reason));
  const cause = reasons.length === 1 ? reasons[0] : new AggregateError(reasons);
  return coded(
    new Error(
      `@huntaze/rate-limit has no binary for ${platform} that loads. Install ${packages.join(' or ')} anew ` +
        `(remove node_modules/@huntaze, then npm ci or npm install), or build one with Rust: npm run build. ` +
        `Found but not loadable: ${found.join('; ')}`,
      { cause },
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
