'use strict';

/** @import { CreatorId, CreatorPlan, Decision, RateLimiter } from '../../index.d.ts' */
/** @import * as Public from '../../index.d.ts' */

const { boolean, callable, idText, planNumber, record } = require('../validate.js');
const { creatorWindowMs, limitCreator } = require('../creators.js');
const { retryAfterSeconds, wrongReturn, wrongType, wrongValue } = require('../errors.js');
const { windowOf } = require('../limiter.js');
const { rateLimitHeaders, decisionState } = require('./headers.js');
const { isResponse, jsonResponse, responseClass, withHeaders } = require('./response.js');

/**
 * A route handler with a check in front of it: types/http.d.ts says how it behaves.
 *
 * @type {typeof Public.withRateLimit}
 */
function withRateLimit(handler, options) {
  callable('handler', handler);
  const names = ['id', 'plan', 'limiter', 'onDenied', 'countPreflight'];
  const { id, plan, limiter, onDenied, countPreflight = false } = record('options', options, names);
  boolean('options.countPreflight', countPreflight);
  callable('options.id', id);
  if (onDenied !== undefined) callable('options.onDenied', onDenied);
  const planOf = planReader(plan);
  const check = limiter === undefined ? checkCreator : checkWith(limiter, plan);

  return async (request, ...rest) => {
    // A denial without a Response is none: better to know before a quota is taken.
    responseClass();
    if (!countPreflight && request?.method === 'OPTIONS') return responseOf('handler', await handler(request, ...rest));

    // What the callbacks throw is theirs; only what they return may be refused.
    const requestedId = await id(request, ...rest);
    const requestedPlan = await planOf(request, ...rest);
    const problem = argumentError(requestedId, requestedPlan);
    if (problem !== undefined) return badRequest(problem);

    const { decision, windowMs } = await check(requestedId, requestedPlan);
    const response = decision.allowed
      ? responseOf('handler', await handler(request, ...rest))
      : onDenied === undefined
        ? tooManyRequests(decision)
        : responseOf('options.onDenied', await onDenied(decision, request, ...rest));
    return withHeaders(response, rateLimitHeaders(decision, { windowMs }));
  };
}

/**
 * @template {unknown[]} A
 * @param {CreatorPlan | ((...args: A) => CreatorPlan | Promise<CreatorPlan>) | undefined} plan
 * @returns {(...args: A) => CreatorPlan | undefined | Promise<CreatorPlan>}
 */
function planReader(plan) {
  if (typeof plan === 'function') return plan;
  // Once, where the route is made: a misspelt plan is no matter of the caller's.
  if (plan !== undefined) planNumber(plan);
  return () => plan;
}

/**
 * Takes one request, and says in which window.
 *
 * @param {CreatorId} id
 * @param {CreatorPlan | undefined} plan
 */
async function checkCreator(id, plan) {
  // Before the check: the next configure() is none of it.
  const windowMs = creatorWindowMs();
  return { decision: await limitCreator(id, plan), windowMs };
}

/**
 * @param {RateLimiter} limiter
 * @param {unknown} plan
 */
function checkWith(limiter, plan) {
  if (plan !== undefined) throw wrongValue('options.plan', 'left out: a limiter has one limit for all');
  // By its shape: one of another copy of this module limits as well. Its window is not known here, and not told.
  if (typeof limiter?.limit !== 'function') throw wrongType('options.limiter', 'a RateLimiter', limiter);
  const windowMs = windowOf(limiter);
  return async (/** @type {CreatorId} */ id) => {
    const decision = await limiter.limit(id);
    // Now: a decision of which no headers can be made is no reason to throw away what the handler has already done.
    decisionState(decision, "options.limiter's decision");
    return { decision, windowMs };
  };
}

/**
 * What the limiter would refuse. Asked beforehand, and not told by the code of what it rejects with: a store that
 * fails, or a limiter of the caller's making, is no bad request, whatever its code.
 *
 * @param {CreatorId} id
 * @param {CreatorPlan | undefined} plan
 */
function argumentError(id, plan) {
  try {
    idText(id, 'id');
    if (plan !== undefined) planNumber(plan);
    return undefined;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error);
  }
}

/** @param {NodeJS.ErrnoException} problem */
function badRequest({ message, code }) {
  return jsonResponse({ error: message, code }, 400);
}

/** @param {Decision} decision */
function tooManyRequests({ retryAfterMs }) {
  const retryAfter = retryAfterSeconds(retryAfterMs);
  return jsonResponse({ error: 'Rate limit exceeded', code: 'RATE_LIMITED', retryAfter }, 429);
}

/** @type {(what: string, value: unknown) => Response} */
function responseOf(what, value) {
  if (!isResponse(value)) throw wrongReturn(what, 'a Response', value);
  return value;
}

module.exports = { withRateLimit };
