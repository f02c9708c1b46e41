'use strict';
// An admission counts for exactly its window: judged by the times in the store's decisions.

const assert = require('node:assert/strict');
const limits = require('@huntaze/rate-limit');
const { fresh, patient } = require('./stores.cjs');

/** How often each side of the moment must be hit, and the most windows to try. */
const WANTED = 10;
const WINDOWS = 5000;

/**
 * The time of a limiter's store: an admission of another id contains its own time. It uses that limiter, because in
 * memory each name has its own clock.
 */
async function timeOf(limiter, windowMs) {
  const { allowed, reset } = await limiter.limit('clock', { limit: 1_000_000 });
  assert.equal(allowed, true);
  return reset - windowMs;
}

/**
 * Uses up a quota and then makes requests without a pause until one is admitted. Each answer lies between two readings
 * of the store's clock, so its time is verified.
 */
async function useUpAndAsk(store, limit, windowMs) {
  const limiter = new limits.RateLimiter({ ...patient(store), name: fresh(), limit, windowMs });
  const id = fresh();
  const admissions = [];
  const seen = { denials: 0, lastDenied: 0, firstAdmitted: 0 };
  for (let before = await timeOf(limiter, windowMs); ;) {
    const decision = await limiter.limit(id);
    const after = await timeOf(limiter, windowMs);
    const frees = admissions.at(-limit) + windowMs;
    let now;
    if (decision.allowed) {
      now = decision.reset - windowMs;
      assert.ok(!(now < frees), `admitted at ${now}, ${frees - now} ms early`);
    } else {
      assert.ok(admissions.length >= limit);
      now = frees - decision.retryAfterMs;
      assert.ok(before < frees, `denied at ${before} or later, when a slot was free since ${frees}`);
      assert.equal(decision.reset, admissions.at(-1) + windowMs);
      seen.denials++;
    }
    assert.ok(before <= now && now <= after, `decided at ${now}, which is not from ${before} to ${after}`);
    if (decision.allowed) {
      admissions.push(now);
      if (admissions.length > limit) {
        if (now === frees) seen.firstAdmitted++;
        await limiter.close();
        return seen;
      }
    } else if (now === frees - 1) seen.lastDenied++;
    before = after;
  }
}

function window(store) {
  return {
    async [`a caller is denied at retryAfterMs - 1 and admitted at retryAfterMs, on ${store.name}`]() {
      const sum = { denials: 0, lastDenied: 0, firstAdmitted: 0 };
      let windows = 0;
      // Whether a request hits a given millisecond is chance: windows are tried until enough did.
      while (windows < WINDOWS && (sum.lastDenied < WANTED || sum.firstAdmitted < WANTED)) {
        const seen = await useUpAndAsk(store, 1 + (windows % 3), 5 + (windows % 16));
        for (const name of Object.keys(sum)) sum[name] += seen[name];
        windows++;
      }
      assert.ok(sum.lastDenied >= WANTED && sum.firstAdmitted >= WANTED, JSON.stringify(sum));
      return `${windows} windows, ${sum.denials} denials, ${sum.lastDenied} in the last millisecond, ${sum.firstAdmitted} admitted in the first`;
    },

    async [`denials cost nothing, on ${store.name}`]() {
      const limiter = new limits.RateLimiter({ ...patient(store), name: fresh(), limit: 5, windowMs: 3_600_000 });
      const admitted = [];
      for (let i = 0; i < 5; i++) admitted.push(await limiter.limit('id'));
      const { reset } = admitted.at(-1);
      const denied = await Promise.all(Array.from({ length: 300 }, () => limiter.limit('id')));
      for (const decision of denied) {
        assert.equal(decision.allowed, false);
        assert.equal(decision.reset, reset);
        assert.ok(decision.retryAfterMs <= 3_600_000);
      }
      assert.deepEqual(await limiter.status('id'), { limit: 5, remaining: 0, reset });
      assert.deepEqual(await limiter.status('id', { limit: 6 }), { limit: 6, remaining: 1, reset });
      await limiter.close();
      return `${denied.length} denials`;
    },

    async [`an admission outside of the window is not counted, on ${store.name}`]() {
      const limiter = new limits.RateLimiter({ ...patient(store), name: fresh(), limit: 3, windowMs: 20 });
      let rounds = 0;
      for (; rounds < 20; rounds++) {
        let last;
        for (let i = 0; i < 3; i++) last = await limiter.limit('id');
        while ((await timeOf(limiter, 20)) < last.reset);
        const first = await limiter.limit('id');
        assert.equal(first.allowed, true);
        assert.equal(first.remaining, 2);
        while ((await timeOf(limiter, 20)) < first.reset);
      }
      await limiter.close();
      return `${rounds} times`;
    },
  };
}

module.exports = { window };
