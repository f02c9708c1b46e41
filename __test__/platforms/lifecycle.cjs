'use strict';
// The lifetime of the package: in a process, in a thread, in a limiter, and twice in one process.

const assert = require('node:assert/strict');
const { createServer } = require('node:net');
const { join, relative, sep } = require('node:path');
const limits = require('@huntaze/rate-limit');
const { exitOf, nextMessage, runScript, startWorker } = require('./processes.cjs');
const { fresh, patient } = require('./stores.cjs');

const HOUR = 3_600_000;
// With ten, as in the specs, an emulated check spent 69 of its 185 seconds here.
const THREADS = 5;

/** Runs a script that must end by itself, with success. */
async function ends(script, store, expected) {
  const { code, signal, out, err } = await runScript(script, store);
  assert.deepEqual({ code: 0, signal: null, err: '', ...expected }, { code, signal, err, out });
}

function limiterOn(store, options) {
  return new limits.RateLimiter({ ...patient(store), name: fresh(), limit: 5, windowMs: HOUR, ...options });
}

/** Loads the package once more in this process, from `folder`. */
function loadAgain(folder) {
  const kept = Object.entries(require.cache);
  // A native module stays loaded; JavaScript is loaded again.
  for (const [file] of kept)
    if (file.includes(`${sep}@huntaze${sep}`) && !file.endsWith('.node')) delete require.cache[file];
  try {
    return require(folder);
  } finally {
    for (const [file, module] of kept) require.cache[file] = module;
  }
}

/** Two concurrent copies: each throws its own errors, and both share counts if `shared`. */
async function useTogether(other, store, shared) {
  assert.notEqual(other.RateLimitError, limits.RateLimitError);
  const options = { ...patient(store), name: fresh(), limit: 20, windowMs: HOUR };
  const copies = [limits, other];
  const limiters = copies.map(({ RateLimiter }) => new RateLimiter(options));
  const answers = await Promise.all(
    limiters.map((limiter) => Promise.allSettled(Array.from({ length: 30 }, () => limiter.check('id')))),
  );
  const denied = answers.map((all) => all.filter(({ status }) => status === 'rejected').map(({ reason }) => reason));
  for (const [i, errors] of denied.entries())
    for (const error of errors) assert.ok(error instanceof copies[i].RateLimitError);
  assert.equal(denied.flat().length, shared ? 40 : 20);
  await Promise.all(limiters.map((limiter) => limiter.close()));
  return `${60 - denied.flat().length} of 60 admitted`;
}

function lifecycle(store) {
  const on = `on ${store.name}`;
  const scripted = `const limiter = new limits.RateLimiter({ ...options, name: '${fresh()}', limit: 1000000, windowMs: 60000 });`;
  return {
    async [`a process that made a check ends by itself, ${on}`]() {
      const script = `${scripted} limiter.check(1).then(() => console.log('allowed'));`;
      await ends(script, store, { out: 'allowed' });
    },

    async [`an open limiter does not keep the process alive, ${on}`]() {
      const script = `${scripted} limiter.limit(1).then(({ source }) => { globalThis.kept = limiter; console.log(source); });`;
      await ends(script, store, { out: store.name });
    },

    async [`process.exit with checks in flight is a clean end, ${on}`]() {
      const script = `
        ${scripted}
        for (let i = 0; i < 500; i++) limiter.check(i).catch(() => {});
        setImmediate(() => process.exit(7));`;
      await ends(script, store, { code: 7, out: '' });
    },

    ...(store.redis && {
      async 'a check in flight keeps the process until it settles, on a server that never answers'() {
        const hole = createServer((socket) => socket.on('error', () => {}).resume());
        await new Promise((resolve) => hole.listen(0, '127.0.0.1', resolve));
        const silent = { redis: { host: '127.0.0.1', port: hole.address().port } };
        const script = `
          const limiter = new limits.RateLimiter({ ...options, timeoutMs: 300, name: 'silent', limit: 1, windowMs: 1000 });
          limiter.check(1).catch((error) => console.log(error.code));`;
        await ends(script, silent, { out: 'ETIMEDOUT' });
        await new Promise((resolve) => hole.close(resolve));
      },
    }),

    async [`close lets checks in flight settle, and the next check starts anew, ${on}`]() {
      const limiter = limiterOn(store, { limit: 100 });
      for (let round = 0; round < 10; round++) {
        let settled = 0;
        const checks = Array.from({ length: 150 }, () => limiter.limit(round).finally(() => settled++));
        await limiter.close();
        assert.equal(settled, 150);
        const decisions = await Promise.all(checks);
        assert.equal(decisions.filter(({ allowed }) => allowed).length, 100);
        // The memory store belongs to this process and is gone; Redis keeps its data.
        assert.equal((await limiter.limit(round)).allowed, store.redis === undefined);
      }
      await limiter.close();
      await limiter.close();
      return '10 times with 150 checks';
    },

    async [`a thread is terminated with checks in flight, and the process goes on, ${on}`]() {
      const own = limiterOn(store, { limit: 1_000_000 });
      const script = `
        ${scripted}
        const ask = () => { for (let i = 0; i < 200; i++) limiter.check(i).catch(() => {}); setImmediate(ask); };
        ask();
        parentPort.postMessage('asking');`;
      let answered = 0;
      for (let i = 0; i < THREADS; i++) {
        const worker = startWorker(script, store);
        await nextMessage(worker);
        const checks = Promise.all(Array.from({ length: 100 }, (_, n) => own.limit(n)));
        await worker.terminate();
        for (const { allowed, source } of await checks) {
          assert.deepEqual({ allowed, source }, { allowed: true, source: store.name });
          answered++;
        }
      }
      await own.close();
      return `${THREADS} threads, ${answered} checks beside them`;
    },

    async [`a thread without work ends by itself, ${on}`]() {
      const worker = startWorker(`${scripted} limiter.check(1).then(() => parentPort.postMessage('allowed'));`, store);
      const ended = exitOf(worker);
      assert.equal(await nextMessage(worker), 'allowed');
      assert.equal(await ended, 0);
    },

    async [`the package is loaded twice, ${on}`]() {
      const path = require.resolve('@huntaze/rate-limit');
      return useTogether(loadAgain(path), store, true);
    },

    async [`a second copy of it, with a binary of its own, is loaded beside the first, ${on}`]() {
      const path = relative(__dirname, require.resolve('@huntaze/rate-limit'));
      // Two libraries have separate memory stores.
      return useTogether(loadAgain(join(__dirname, 'copy', path)), store, store.redis !== undefined);
    },

    async [`copies dropped with checks in flight cause no error, ${on}`]() {
      for (let i = 0; i < 10; i++) {
        const copy = loadAgain(require.resolve('@huntaze/rate-limit'));
        const limiter = new copy.RateLimiter({ ...patient(store), name: fresh(), limit: 5, windowMs: 1000 });
        for (let n = 0; n < 50; n++) limiter.check(n).catch(() => {});
      }
      const last = limiterOn(store);
      assert.equal((await last.limit(1)).source, store.name);
      await last.close();
      return '10 copies with 50 checks';
    },
  };
}

module.exports = { lifecycle };
