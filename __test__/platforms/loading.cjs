'use strict';
// Which binary the package itself chooses to load.

const assert = require('node:assert/strict');
const { readdirSync, realpathSync } = require('node:fs');
const { basename, join, sep } = require('node:path');
const limits = require('@huntaze/rate-limit');
const { runScript } = require('./processes.cjs');
const { stores } = require('./stores.cjs');

const { CHECK_PLATFORM, CHECK_VERSION } = process.env;
const [memory] = stores;

/** Resolves links and the short names of Windows. */
const longPath = (file) => realpathSync.native(file);

/** The binaries of the package that are mapped into this process, as the system's loader lists them. */
function loadedBinaries() {
  // Otherwise the report resolves the name of every peer.
  process.report.excludeNetwork = true;
  const { sharedObjects } = process.report.getReport();
  return sharedObjects.filter((file) => /rate-limit\.[\w-]+\.node$/.test(file)).map(longPath);
}

function loading() {
  return {
    [`the binary of ${CHECK_PLATFORM} is loaded`]() {
      assert.equal(typeof limits.checkCreatorRateLimit, 'function');
      const [binary, ...others] = loadedBinaries();
      assert.deepEqual(others, []);
      assert.equal(basename(binary), `rate-limit.${CHECK_PLATFORM}.node`);
      assert.ok(binary.startsWith(longPath(join(__dirname, 'node_modules', '@huntaze')) + sep), binary);
      if (CHECK_VERSION) assert.ok(process.version.startsWith(`v${CHECK_VERSION}.`), process.version);
      const node = `Node.js ${process.version} for ${process.platform} ${process.arch}`;
      const { glibcVersionRuntime } = process.report.getReport().header;
      if (process.platform !== 'linux') return node;
      assert.equal(CHECK_PLATFORM.endsWith('-gnu'), glibcVersionRuntime !== undefined);
      return `${node}, ${glibcVersionRuntime ? `glibc ${glibcVersionRuntime}` : 'musl'}`;
    },

    async 'it is the one among those of other platforms, where all are installed'() {
      const every = join(__dirname, 'every', 'node_modules', '@huntaze');
      const beside = readdirSync(every).filter((name) => name !== 'rate-limit');
      const script = `
        const { loadedBinaries } = require('./loading.cjs');
        const [first] = loadedBinaries();
        require(${JSON.stringify(join(every, 'rate-limit'))});
        console.log(loadedBinaries().filter((binary) => binary !== first).join());`;
      const { code, out, err } = await runScript(script, memory);
      assert.deepEqual({ code, err }, { code: 0, err: '' });
      assert.equal(out, longPath(join(every, `rate-limit-${CHECK_PLATFORM}`, `rate-limit.${CHECK_PLATFORM}.node`)));
      return `${beside.length} installed`;
    },

    async 'import gives what require gives'() {
      const imported = await import('@huntaze/rate-limit');
      for (const name of Object.keys(limits)) assert.equal(imported[name], limits[name], name);
      return `${Object.keys(limits).length} names`;
    },

    async 'a quota is found used up, with the error and the moment that go with it'() {
      limits.configure({ plans: { starter: 1 } });
      await limits.checkCreatorRateLimit(7, 'starter');
      const error = await limits.checkCreatorRateLimit('7', 'starter').then(
        () => assert.fail('admitted'),
        (reason) => reason,
      );
      assert.ok(error instanceof limits.RateLimitError && error instanceof Error);
      const { name, code, message, limit, remaining, retryAfter } = error;
      assert.deepEqual(
        { name, code, message, limit, remaining },
        { name: 'RateLimitError', code: 'RATE_LIMITED', message: 'Rate limit exceeded', limit: 1, remaining: 0 },
      );
      assert.ok(Number.isInteger(retryAfter) && retryAfter >= 1 && retryAfter <= 3600);
      await assert.rejects(limits.checkCreatorRateLimit(-1), { code: 'ERR_OUT_OF_RANGE' });
      await limits.close();
    },
  };
}

module.exports = { loadedBinaries, loading };
