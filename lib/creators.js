'use strict';

/** @import * as Public from '../index.d.ts' */
/** @import { Operation } from './lazy-limiter.js' */

const { callable, idText, planNumber } = require('./validate.js');
const { configError } = require('./errors.js');
const { metricsOf, metricsDelta } = require('./metrics/snapshot.js');
const { creatorOptions } = require('./options.js');
const { LazyLimiter, operations, RESET_LIMIT } = require('./lazy-limiter.js');
const { NO_PLAN, PLANS, planLabel, planOfLabel } = require('./plans.js');

// One creators' limiter for the module, as in the application file that this package replaces.
let options = creatorOptions();
let limiter = new LazyLimiter(options);

/** @type {typeof Public.checkCreatorRateLimit} */
function checkCreatorRateLimit(creatorId, plan = 'pro') {
  return submit(operations.check, creatorId, plan);
}

/**
 * As {@link checkCreatorRateLimit}, but resolves to the Decision. Not public: RateLimiter.limit does the same.
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
 * Submits a request of a creator. An invalid argument rejects the promise.
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
    return limiter.submit(operation, id, options.planLimits[number], planLabel(number));
  } catch (error) {
    return Promise.reject(error);
  }
}

/** @type {typeof Public.resetCreatorRateLimit} */
function resetCreatorRateLimit(creatorId) {
  try {
    return limiter.submit(operations.reset, idText(creatorId, 'creatorId'), RESET_LIMIT, NO_PLAN);
  } catch (error) {
    return Promise.reject(error);
  }
}

/** The window of checks that start now. `configure` can change it after a close. */
function creatorWindowMs() {
  return options.windowMs;
}

/**
 * Tests the connection to the creators' Redis.
 *
 * @param {number} budgetMs
 */
async function testCreatorConnection(budgetMs) {
  return limiter.testConnection(budgetMs);
}

/**
 * Up to `count` candidates for the creators nearest to their quota, each with its current status in the store.
 *
 * @param {number} count
 */
function topCandidates(count) {
  const statuses = limiter.topCandidates(count).map(async ({ id, label, limit: countedLimit, requests }) => {
    const plan = planOfLabel(label);
    // `configure` may have changed the limit of the plan since.
    const limit = plan === undefined ? countedLimit : options.planLimits[PLANS.indexOf(plan)];
    return { id, plan, requests, ...(await limiter.submit(operations.statusWithSource, id, limit, label)) };
  });
  return Promise.all(statuses);
}

/** @type {typeof Public.configure} */
function configure(newOptions) {
  if (limiter.isOpen) {
    throw configError('configure() must be called before the first check, or after close()');
  }
  options = creatorOptions(newOptions);
  const { listeners } = limiter;
  limiter = new LazyLimiter(options);
  // Listeners are those of the creators: new options leave them subscribed.
  limiter.listeners = listeners;
}

function getMetrics() {
  return metricsOf(options.name);
}

/** What was counted since the last call in this process: `{ before, now }`. */
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
