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
 * Wraps a route handler in a check: types/http.d.ts describes its behaviour.
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
    // A denial needs a Response: without one, fail before the check counts against the quota.
    responseClass();
    if (!countPreflight && request?.method === 'OPTIONS') return responseOf('handler', await handler(request, ...rest));

    // Errors that the callbacks throw pass through; only invalid return values are a bad request.
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
  // Once, when the route is created: a misspelt plan is not an error of the client.
  if (plan !== undefined) planNumber(plan);
  return () => plan;
}

/**
 * Counts one request. Returns the decision and its window.
 *
 * @param {CreatorId} id
 * @param {CreatorPlan | undefined} plan
 */
async function checkCreator(id, plan) {
  // Read before the check: a later configure() does not apply to it.
  const windowMs = creatorWindowMs();
  return { decision: await limitCreator(id, plan), windowMs };
}

/**
 * @param {RateLimiter} limiter
 * @param {unknown} plan
 */
function checkWith(limiter, plan) {
  if (plan !== undefined) throw wrongValue('options.plan', 'left out: a limiter has one limit for all');
  // By its shape: a limiter of another copy of this module works as well. Its window is unknown and stays out of the
  // headers.
  if (typeof limiter?.limit !== 'function') throw wrongType('options.limiter', 'a RateLimiter', limiter);
  const windowMs = windowOf(limiter);
  return async (/** @type {CreatorId} */ id) => {
    const decision = await limiter.limit(id);
    // Checked now: if it failed after the handler, an invalid decision would discard the work of the handler.
    decisionState(decision, "options.limiter's decision");
    return { decision, windowMs };
  };
}

/**
 * The error of an id or plan that the limiter would reject. Checked before the call and not by the code of its
 * rejection: a failing store, or a limiter of the application, does not make a request bad, whatever the code.
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

/** @type {(argument: string, value: unknown) => Response} */
function responseOf(argument, value) {
  if (!isResponse(value)) throw wrongReturn(argument, 'a Response', value);
  return value;
}

module.exports = { withRateLimit };
