'use strict';

/** @import { Decision, RateLimitError, RateLimitPolicy } from '../../index.d.ts' */

const { inRange, integer, plainName, record } = require('../validate.js');
const { constants } = require('../native.js');
const { MIN_RETRY_AFTER_MS, wholeSeconds, wrongType } = require('../errors.js');

// The largest integer of a structured field has 15 digits: RFC 9651, section 3.3.1.
const MAX_INTEGER = 999_999_999_999_999;

/**
 * The headers of a Decision or a RateLimitError: types/http.d.ts says which.
 *
 * @param {Decision | RateLimitError} result
 * @param {RateLimitPolicy} policy
 */
function rateLimitHeaders(result, policy = {}) {
  const { limit, remaining, allowed, waitMs, resetMs, resetAfterMs } = quotaState(result);
  record('policy', policy, ['name', 'windowMs']);
  const name = policy.name === undefined ? 'default' : plainName('policy.name', policy.name);
  const window =
    policy.windowMs === undefined
      ? undefined
      : wholeSeconds(integer('policy.windowMs', policy.windowMs, 1, constants.maxWindowMs));
  // Only the store knows how long it is until the window is empty: its clock and this machine's may be hours apart.
  const afterMs = allowed ? resetAfterMs : waitMs;
  // The store's clock for denials as for admissions, if its time is known.
  const now = resetMs === undefined || resetAfterMs === undefined ? Date.now() : resetMs - resetAfterMs;
  const until = allowed && resetMs !== undefined ? resetMs : now + waitMs;
  const t = afterMs === undefined ? '' : `;t=${wholeSeconds(afterMs)}`;
  /** @type {Record<string, string>} */
  const headers = {
    'X-RateLimit-Limit': `${limit}`,
    'X-RateLimit-Remaining': `${remaining}`,
    'X-RateLimit-Reset': `${wholeSeconds(Math.max(0, until))}`,
    // Structured fields (RFC 9651). A policy name has no character that needs escaping in a quoted string.
    'RateLimit-Policy': `"${name}";q=${limit}${window === undefined ? '' : `;w=${window}`}`,
    RateLimit: `"${name}";r=${remaining}${t}`,
  };
  if (!allowed) headers['Retry-After'] = `${wholeSeconds(waitMs)}`;
  return headers;
}

/**
 * The input of the headers. `resetMs` is undefined only for a denial.
 *
 * @typedef {object} QuotaState
 * @property {number} limit
 * @property {number} remaining
 * @property {boolean} allowed
 * @property {number} waitMs
 * @property {number} [resetMs]
 * @property {number} [resetAfterMs]
 */

/**
 * The fields that a decision and an error have in common, checked.
 *
 * @param {Decision | RateLimitError} result
 * @returns {QuotaState}
 */
function quotaState(result) {
  if (isDenial(result)) {
    const { retryAfter, limit, remaining, decision } = result;
    if (decision !== undefined) return { ...decisionState(decision, 'result.decision'), allowed: false };
    return {
      ...counts('result', limit, remaining),
      allowed: false,
      waitMs: Math.max(MIN_RETRY_AFTER_MS, inRange('result.retryAfter', retryAfter, 0, MAX_INTEGER) * 1000),
    };
  }
  return decisionState(result, 'result', 'a Decision or a RateLimitError');
}

/**
 * As {@link quotaState}, for a decision only.
 *
 * @returns {QuotaState & { resetMs: number }}
 * @param {Decision} decision
 * @param {string} argument
 */
function decisionState(decision, argument, expected = 'a Decision') {
  if (typeof decision?.allowed !== 'boolean') throw wrongType(argument, expected, decision);
  const { allowed, limit, remaining, reset, resetAfterMs, retryAfterMs } = decision;
  return {
    ...counts(argument, limit, remaining),
    allowed,
    resetMs: inRange(`${argument}.reset`, reset, 0, MAX_INTEGER),
    // Absent from decisions of earlier versions of this package, and perhaps of other limiters.
    resetAfterMs:
      resetAfterMs === undefined ? undefined : inRange(`${argument}.resetAfterMs`, resetAfterMs, 0, MAX_INTEGER),
    waitMs: Math.max(MIN_RETRY_AFTER_MS, inRange(`${argument}.retryAfterMs`, retryAfterMs, 0, MAX_INTEGER)),
  };
}

/**
 * Checks the shape: an error of another copy of this module is not an instance of this copy's class.
 *
 * @param {Decision | RateLimitError} result
 * @returns {result is RateLimitError}
 */
function isDenial(result) {
  return /** @type {Partial<RateLimitError>} */ (result)?.code === 'RATE_LIMITED';
}

/** @type {(argument: string, limit: number, remaining: number) => Pick<Decision, 'limit' | 'remaining'>} */
function counts(argument, limit, remaining) {
  return {
    limit: integer(`${argument}.limit`, limit, 0, MAX_INTEGER),
    remaining: integer(`${argument}.remaining`, remaining, 0, MAX_INTEGER),
  };
}

module.exports = { rateLimitHeaders, decisionState };
