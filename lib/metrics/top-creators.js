'use strict';

/** @import { Decision, TopCreator } from '../../index.d.ts' */

const { integer } = require('../validate.js');
const { topCandidates } = require('../creators.js');

/** The most creators in one call (types/metrics.d.ts). Their statuses fit into one batch to the store. */
const MAX_CANDIDATES = 64;

/**
 * The sources with a count of a creator's requests. While Redis is away, `open` and `closed` have none.
 *
 * @type {Decision['source'][]}
 */
const AUTHORITATIVE = ['redis', 'memory', 'local'];

/**
 * The creators nearest to their quota. This process estimates which creators send the most requests; the store has
 * their exact counts, and they are sorted by these.
 */
async function topCreators(count = 10) {
  integer('count', count, 1, MAX_CANDIDATES);
  // Always all candidates: the creator with the most requests here need not have the most over all processes.
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
    ...(plan === undefined ? {} : { plan }),
    limit,
    used: limit - remaining,
    remaining,
    reset,
    requests,
    source: /** @type {TopCreator['source']} */ (source),
  };
}

module.exports = { topCreators };
