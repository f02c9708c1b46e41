'use strict';
// Properties of any requests in any order: the decisions of random histories are those of a plain log of admissions.

const assert = require('node:assert/strict');
const limits = require('@huntaze/rate-limit');
const { nextMessage, runScript, startWorker } = require('./processes.cjs');
const { overTls, fresh, patient } = require('./stores.cjs');

const HISTORIES = 60;
const REQUESTS = 60;
const LIMIT = 100;
const HOUR = 3_600_000;

/**
 * The exact sliding window of one id, as a list of the times of all admissions. It gets every answer in the order of
 * the requests and compares it with the list. An answer with a time says when the store decided; one without it still
 * bounds that time.
 */
class Log {
  #window;
  #admissions = [];
  #earliest = -Infinity;

  constructor(window) {
    this.#window = window;
  }

  decided(decision, limit) {
    assert.equal(decision.limit, limit);
    if (decision.allowed) this.#admitted(decision, limit);
    else this.#denied(decision, limit);
  }

  #admitted({ remaining, reset, retryAfterMs }, limit) {
    const now = reset - this.#window;
    this.#passes(now);
    const counted = this.#countedAt(now);
    assert.ok(counted < limit, `${counted} of ${limit} are in the window, and one more is admitted`);
    assert.equal(remaining, limit - counted - 1);
    assert.equal(retryAfterMs, 0);
    this.#admissions.push(now);
  }

  #denied({ remaining, reset, retryAfterMs }, limit) {
    assert.ok(retryAfterMs >= 1 && retryAfterMs <= this.#window, `to be tried again in ${retryAfterMs} ms`);
    // A slot frees when the admission `limit` places back leaves the window.
    const blocking = this.#admissions.at(-limit);
    assert.ok(blocking !== undefined, `denied with ${this.#admissions.length} admissions in all, limit ${limit}`);
    this.#passes(blocking + this.#window - retryAfterMs);
    assert.equal(remaining, 0);
    assert.equal(reset, this.#admissions.at(-1) + this.#window);
  }

  status({ limit, remaining, reset }, asked) {
    assert.equal(limit, asked);
    const newest = this.#admissions.at(-1) ?? -Infinity;
    if (reset !== newest + this.#window) {
      const now = reset - this.#window;
      this.#passes(now);
      assert.equal(this.#countedAt(now), 0, 'reported as unused');
      assert.equal(remaining, limit);
      return;
    }
    // The missing requests are counted, and those before them are not; with nothing left it may be more.
    const counted = limit - remaining;
    const [first, before] = [this.#admissions.at(-counted), this.#admissions.at(-counted - 1)];
    assert.ok(counted >= 1 && first !== undefined, `${counted} of ${this.#admissions.length} reported as counted`);
    assert.ok(this.#earliest < first + this.#window, 'reported as counted although it had left');
    if (remaining > 0 && before !== undefined) this.#earliest = Math.max(this.#earliest, before + this.#window);
  }

  forgotten() {
    this.#admissions = [];
  }

  #passes(now) {
    assert.ok(now >= this.#earliest, `decided at ${now}, after what was decided at ${this.#earliest} or later`);
    this.#earliest = now;
  }

  #countedAt(now) {
    return this.#admissions.filter((moment) => moment > now - this.#window).length;
  }
}

/** Random numbers from a seed: mulberry32, by Tommy Ettinger, in the public domain. */
function chance(seed) {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let bits = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return Math.floor((((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Random requests of one id, one after the other. Returns the numbers of admissions, denials, statuses and resets. */
async function runHistory(store, seed) {
  const below = chance(seed);
  const windowMs = 1 + below(60);
  const usual = 1 + below(6);
  const limiter = new limits.RateLimiter({ ...patient(store), name: fresh(), limit: usual, windowMs });
  const id = fresh();
  const log = new Log(windowMs);
  const seen = { admitted: 0, denied: 0, statuses: 0, forgotten: 0 };
  try {
    for (let i = 0; i < REQUESTS; i++) {
      if (below(4) === 0) await pause(below(windowMs + 2));
      // A change of plan: the same history, another limit.
      const limit = below(3) === 0 ? 1 + below(8) : usual;
      const kind = below(20);
      if (kind === 0) {
        await limiter.reset(id);
        log.forgotten();
        seen.forgotten++;
      } else if (kind < 5) {
        log.status(await limiter.status(id, { limit }), limit);
        seen.statuses++;
      } else {
        const decision = await limiter.limit(id, { limit });
        assert.equal(decision.source, store.name);
        log.decided(decision, limit);
        if (decision.allowed) seen.admitted++;
        else seen.denied++;
      }
    }
  } catch (error) {
    error.message = `seed ${seed}, limit ${usual}, window ${windowMs} ms: ${error.message}`;
    throw error;
  } finally {
    await limiter.close();
  }
  return seen;
}

/** The number of admissions; each slot is given once. */
function admittedOnce(decisions, limit) {
  const admitted = decisions.filter(({ allowed }) => allowed);
  const remaining = admitted.map((decision) => decision.remaining).sort((a, b) => a - b);
  assert.deepEqual(
    remaining,
    Array.from({ length: limit }, (_, i) => i),
  );
  for (const denied of decisions.filter(({ allowed }) => !allowed)) {
    assert.equal(denied.remaining, 0);
    assert.ok(denied.retryAfterMs > 0);
  }
  return admitted.length;
}

async function fiveHundredAtOnce(store, redis = store.redis) {
  const options = { ...patient({ redis }), name: fresh(), limit: LIMIT, windowMs: HOUR };
  const limiter = new limits.RateLimiter(options);
  const decisions = await Promise.all(Array.from({ length: 500 }, () => limiter.limit('id')));
  const admitted = admittedOnce(decisions, LIMIT);
  assert.ok(decisions.every(({ source }) => source === store.name));
  await limiter.close();
  return `${admitted} of ${decisions.length} admitted at limit ${LIMIT}`;
}

function properties(store) {
  const on = `on ${store.name}`;
  return {
    async [`random histories are decided as a log of admissions is, ${on}`]() {
      const seed = process.env.CHECK_SEED ? Number(process.env.CHECK_SEED) : Date.now() % 2 ** 31;
      const seeds = Array.from({ length: HISTORIES }, (_, i) => seed + i);
      const all = await Promise.all(seeds.map((one) => runHistory(store, one)));
      const sum = (kind) => all.reduce((total, seen) => total + seen[kind], 0);
      const sums = Object.fromEntries(['admitted', 'denied', 'statuses', 'forgotten'].map((kind) => [kind, sum(kind)]));
      for (const [kind, count] of Object.entries(sums)) assert.ok(count > 0, `no request was ${kind}`);
      return `${HISTORIES} histories from seed ${seed}, ${Object.entries(sums)
        .map((pair) => pair.reverse().join(' '))
        .join(', ')}`;
    },

    [`each slot is given once, ${on}`]: () => fiveHundredAtOnce(store),

    async [`each slot is given once over five threads, ${on}`]() {
      const [name, id] = [fresh(), fresh()];
      const options = { ...patient(store), name, limit: LIMIT, windowMs: HOUR };
      const script = `
        const limiter = new limits.RateLimiter({ ...options, name: '${name}', limit: ${LIMIT}, windowMs: ${HOUR} });
        parentPort.postMessage('ready');
        parentPort.once('message', async () => {
          parentPort.postMessage(await Promise.all(Array.from({ length: 100 }, () => limiter.limit('${id}'))));
          await limiter.close();
        });`;
      const limiter = new limits.RateLimiter(options);
      const workers = Array.from({ length: 4 }, () => startWorker(script, store));
      await Promise.all(workers.map(nextMessage));
      // Keeps the name open: when the last open limiter of a name closes, memory forgets, and a thread may finish
      // before others start.
      await limiter.status(id);
      const answers = workers.map(nextMessage);
      for (const worker of workers) worker.postMessage('go');
      const own = await Promise.all(Array.from({ length: 100 }, () => limiter.limit(id)));
      const decisions = [own, ...(await Promise.all(answers))].flat();
      const admitted = admittedOnce(decisions, LIMIT);
      await limiter.close();
      return `${admitted} of ${decisions.length} admitted at limit ${LIMIT}`;
    },

    ...(store.redis && {
      async 'each slot is given once over two processes, on redis'() {
        const [name, id] = [fresh(), fresh()];
        const script = `
          const limiter = new limits.RateLimiter({ ...options, name: '${name}', limit: ${LIMIT}, windowMs: ${HOUR} });
          Promise.all(Array.from({ length: 250 }, () => limiter.limit('${id}'))).then((all) => console.log(JSON.stringify(all)));`;
        const ended = await Promise.all([runScript(script, store), runScript(script, store)]);
        for (const { code, err } of ended) assert.deepEqual({ code, err }, { code: 0, err: '' });
        const decisions = ended.flatMap(({ out }) => JSON.parse(out));
        return `${admittedOnce(decisions, LIMIT)} of ${decisions.length} admitted at limit ${LIMIT}`;
      },

      async 'a remembered denial is answered here, on redis'() {
        const options = { ...patient(store), denyCacheMs: 60_000, name: fresh(), limit: 3, windowMs: HOUR };
        const limiter = new limits.RateLimiter(options);
        const sources = [];
        for (let i = 0; i < 50; i++) sources.push((await limiter.limit('id')).source);
        await limiter.close();
        const remembered = sources.splice(4);
        assert.deepEqual(sources, Array(4).fill('redis'));
        assert.deepEqual(remembered, Array(46).fill('deny-cache'));
        return `${remembered.length} of 47 denials`;
      },
    }),

    ...(store.redis &&
      overTls && { 'each slot is given once, on redis over TLS': () => fiveHundredAtOnce(store, overTls) }),

    async [`a change of plan keeps the history, ${on}`]() {
      const { redis, timeoutMs, onStoreError, denyCacheMs, anomaly } = patient(store);
      limits.configure({ redis, timeoutMs, onStoreError, denyCacheMs, anomaly });
      const id = fresh();
      const use = (plan, count) =>
        Promise.all(Array.from({ length: count }, () => limits.checkCreatorRateLimit(id, plan)));
      const left = async () => {
        const plans = ['starter', 'pro', 'business'];
        const all = await Promise.all(plans.map((plan) => limits.getRateLimitStatus(id, plan)));
        return all.map(({ remaining }) => remaining);
      };
      try {
        await use('starter', 50);
        assert.deepEqual(await left(), [0, 50, 450]);
        await assert.rejects(use('starter', 1), limits.RateLimitError);
        await use('pro', 50);
        assert.deepEqual(await left(), [0, 0, 400]);
        await assert.rejects(use('pro', 1), limits.RateLimitError);
        await use('business', 400);
        assert.deepEqual(await left(), [0, 0, 0]);
        await limits.resetCreatorRateLimit(id);
        assert.deepEqual(await left(), [50, 100, 500]);
      } finally {
        await limits.close();
      }
      return '500 admissions under three plans';
    },
  };
}

module.exports = { properties };
