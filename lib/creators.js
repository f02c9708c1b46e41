'use strict';

/** @import * as Public from '../index.d.ts' */
/** @import { Operation } from './lazy-limiter.js' */

const { callable, idText, planNumber } = require('./validate.js');
const { configError } = require('./errors.js');
const { metricsOf, metricsDelta } = require('./metrics/snapshot.js');
const { creatorOptions } = require('./options.js');
const { LazyLimiter, operations, NO_PLAN } = require('./lazy-limiter.js');

// The creators' limiter: one for the module, as in the file it replaces.
let options = creatorOptions();
let limiter = new LazyLimiter(options);

/** @type {typeof Public.checkCreatorRateLimit} */
function checkCreatorRateLimit(creatorId, plan = 'pro') {
  return submit(operations.check, creatorId, plan);
}

/**
 * As {@link checkCreatorRateLimit}, but resolves to the Decision. Not public: RateLimiter has that already.
 *
 * @param {Public.CreatorId} creatorId
 * @param {Public.CreatorPlan} [plan]
 */
function limitCreator(creatorId, plan = 'pro') {
  return submit(operations.limit, creatorId, plan);
}

/** @type {typeof Public.getRateLimitStatus} */
function getRateLimitStatus(creatorId, plan = 'pro') {
  return submit(operations.status, creatorId, plan);
}

/**
 * What an argument is refused with rejects the promise.
 *
 * @template T
 * @param {Operation<T>} operation
 * @param {Public.CreatorId} creatorId
 * @param {Public.CreatorPlan} plan
 */
function submit(operation, creatorId, plan) {
  try {
    const id = idText(creatorId, 'creatorId');
    const number = planNumber(plan);
    return limiter.submit(operation, id, options.planLimits[number], number);
  } catch (error) {
    return Promise.reject(error);
  }
}

/** @type {typeof Public.resetCreatorRateLimit} */
function resetCreatorRateLimit(creatorId) {
  try {
    return limiter.submit(operations.reset, idText(creatorId, 'creatorId'), 1, NO_PLAN);
  } catch (error) {
    return Promise.reject(error);
  }
}

/** The window of the checks that start now: `configure` may change it after a close. */
function creatorWindowMs() {
  return options.windowMs;
}

/**
 * Tries out the way to the creators' Redis.
 *
 * @param {number} budgetMs
 */
async function testCreatorConnection(budgetMs) {
  return limiter.testConnection(budgetMs);
}

/**
 * Up to `count` candidates for the creators nearest to their quota, each with where the store sees them, now.
 *
 * @param {number} count
 */
function topCandidates(count) {
  const asked = limiter.topCandidates(count).map(async ({ id, plan, limit: asked, requests }) => {
    // The plan's limit may have been configured anew since.
    const limit = options.planLimits[plan] ?? asked;
    return { id, plan, requests, ...(await limiter.submit(operations.statusWithSource, id, limit, plan)) };
  });
  return Promise.all(asked);
}

/** @type {typeof Public.configure} */
function configure(wanted) {
  if (limiter.isOpen) {
    throw configError('configure() must be called before the first check, or after close()');
  }
  options = creatorOptions(wanted);
  const { listeners } = limiter;
  limiter = new LazyLimiter(options);
  // Who listens, listens to the creators, whatever their limiter's options.
  limiter.listeners = listeners;
}

function getMetrics() {
  return metricsOf(options.name);
}

/** What has been counted since somebody in this process last asked for it: `{ before, now }`. */
function creatorMetricsDelta() {
  return metricsDelta(options.name);
}

/** @type {typeof Public.onAnomaly} */
function onAnomaly(listener) {
  return limiter.listeners.anomaly.add(callable('listener', listener));
}

/** @type {typeof Public.onStoreStateChange} */
function onStoreStateChange(listener) {
  return limiter.listeners.store.add(callable('listener', listener));
}

function close() {
  return limiter.close();
}

module.exports = {
  checkCreatorRateLimit,
  limitCreator,
  creatorWindowMs,
  getRateLimitStatus,
  resetCreatorRateLimit,
  configure,
  getMetrics,
  onAnomaly,
  onStoreStateChange,
  close,
  testCreatorConnection,
  topCandidates,
  creatorMetricsDelta,
};
