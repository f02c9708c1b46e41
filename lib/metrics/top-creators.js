'use strict';

/** @import { Decision, TopCreator } from '../../index.d.ts' */

const { integer } = require('../validate.js');
const { constants } = require('../native.js');
const { topCandidates } = require('../creators.js');

/** The most that are asked about: one batch of the store's. */
const MAX_CANDIDATES = 64;

/**
 * Those who know where a creator stands. Under `open` and `closed`, nobody does while Redis is away.
 *
 * @type {Decision['source'][]}
 */
const AUTHORITATIVE = ['redis', 'memory', 'local'];

/**
 * The creators nearest to their quota. Who asks most is this process's guess; where they stand is the store's word, and
 * their order is by that.
 */
async function topCreators(count = 10) {
  integer('count', count, 1, MAX_CANDIDATES);
  // All candidates are asked about, however few are wanted: who asks most here may not have used most over all processes.
  const candidates = await topCandidates(MAX_CANDIDATES);
  return candidates
    .filter(({ source }) => AUTHORITATIVE.includes(source))
    .map(topCreator)
    .filter(({ used }) => used > 0)
    .sort((a, b) => b.used / b.limit - a.used / a.limit || b.requests - a.requests)
    .slice(0, count);
}

/**
 * @param {Awaited<ReturnType<typeof topCandidates>>[number]} candidate
 * @returns {TopCreator}
 */
function topCreator({ id, plan, limit, requests, remaining, reset, source }) {
  return {
    creatorId: id,
    ...(plan < 0 ? {} : { plan: constants.plans[plan] }),
    limit,
    used: limit - remaining,
    remaining,
    reset,
    requests,
    source: /** @type {TopCreator['source']} */ (source),
  };
}

module.exports = { topCreators };
