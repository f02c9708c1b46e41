'use strict';

/** @import { CreatorRateLimitOptions, RateLimiterOptions } from '../index.d.ts' */

const { inRange, integer, plainName, record } = require('./validate.js');
const { constants } = require('./native.js');
const { wrongType, wrongValue } = require('./errors.js');
const { redisOptions } = require('./redis-options.js');

const HOUR_MS = 3_600_000;

const COMMON = ['windowMs', 'redis', 'onStoreError', 'timeoutMs', 'denyCacheMs', 'anomaly'];

/**
 * The options of a RateLimiter, checked, with the defaults filled in.
 *
 * @param {RateLimiterOptions} options
 */
function limiterOptions(options) {
  record('options', options, ['name', 'limit', ...COMMON]);
  return {
    name: plainName('options.name', options.name),
    limit: integer('options.limit', options.limit, 1, constants.maxLimit),
    ...common(options, integer('options.windowMs', options.windowMs, 1, constants.maxWindowMs)),
  };
}

/**
 * The options of `configure`.
 *
 * @param {CreatorRateLimitOptions} options
 */
function creatorOptions(options = {}) {
  record('options', options, ['plans', ...COMMON]);
  const { windowMs = HOUR_MS, plans = {} } = options;
  record('options.plans', plans, constants.plans);
  return {
    name: 'creator',
    planLimits: constants.plans.map((plan, i) =>
      plans[plan] === undefined
        ? constants.planLimits[i]
        : integer(`options.plans.${plan}`, plans[plan], 1, constants.maxLimit),
    ),
    ...common(options, integer('options.windowMs', windowMs, 1, constants.maxWindowMs)),
  };
}

/** @typedef {ReturnType<typeof common> & { name: string }} CheckedOptions */

/**
 * @param {CreatorRateLimitOptions} options
 * @param {number} windowMs
 */
function common(options, windowMs) {
  const { redis, onStoreError = 'local', timeoutMs = 250, denyCacheMs = 1000, anomaly = {} } = options;
  return {
    windowMs,
    redis: redis === undefined ? undefined : redisOptions(redis),
    onStoreError: policy(onStoreError),
    timeoutMs: integer('options.timeoutMs', timeoutMs, 1, 60_000),
    denyCacheMs: integer('options.denyCacheMs', denyCacheMs, 0, 60_000),
    anomaly: anomalyRule(anomaly),
  };
}

/** @param {NonNullable<RateLimiterOptions['onStoreError']>} name */
function policy(name) {
  const number = constants.storeErrorPolicies.indexOf(name);
  if (number < 0) {
    throw wrongValue('options.onStoreError', `one of ${constants.storeErrorPolicies.map((p) => `'${p}'`).join(', ')}`);
  }
  return number;
}

/** @param {NonNullable<RateLimiterOptions['anomaly']>} anomaly */
function anomalyRule(anomaly) {
  if (anomaly === false) return undefined;
  if (anomaly === null || typeof anomaly !== 'object')
    throw wrongType('options.anomaly', 'an object or false', anomaly);
  record('options.anomaly', anomaly, ['factor', 'windowMs']);
  const { factor = 2, windowMs = 300_000 } = anomaly;
  return {
    factor: inRange('options.anomaly.factor', factor, constants.minAnomalyFactor, constants.maxAnomalyFactor),
    windowMs: integer('options.anomaly.windowMs', windowMs, 1, constants.maxWindowMs),
  };
}

module.exports = { limiterOptions, creatorOptions };
