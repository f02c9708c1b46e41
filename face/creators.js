'use strict';

const { callable, idText, planNumber } = require('./arguments.js');
const { configError } = require('./errors.js');
const { metricsOf } = require('./metrics/snapshot.js');
const { creatorOptions } = require('./options.js');
const { Session } = require('./session.js');

// The creators' limiter: one for the module, as in the file it replaces.
let options = creatorOptions();
let session = new Session(options);

function checkCreatorRateLimit(creatorId, plan = 'pro') {
  try {
    const id = idText(creatorId, 'creatorId');
    const number = planNumber(plan);
    return session.check(id, options.planLimits[number], number);
  } catch (error) {
    return Promise.reject(error);
  }
}

/** As {@link checkCreatorRateLimit}, but resolves to the Decision. Not public: RateLimiter has that already. */
function limitCreator(creatorId, plan = 'pro') {
  try {
    const id = idText(creatorId, 'creatorId');
    const number = planNumber(plan);
    return session.limit(id, options.planLimits[number], number);
  } catch (error) {
    return Promise.reject(error);
  }
}

/** The window of the checks that start now: `configure` may change it after a close. */
function creatorWindowMs() {
  return options.windowMs;
}

function getRateLimitStatus(creatorId, plan = 'pro') {
  try {
    const id = idText(creatorId, 'creatorId');
    const number = planNumber(plan);
    return session.status(id, options.planLimits[number], number);
  } catch (error) {
    return Promise.reject(error);
  }
}

function resetCreatorRateLimit(creatorId) {
  try {
    return session.reset(idText(creatorId, 'creatorId'));
  } catch (error) {
    return Promise.reject(error);
  }
}

/** Tries out the way to the creators' Redis. */
async function tryConnection(budgetMs) {
  return session.tryConnection(budgetMs);
}

/** Up to `count` candidates for the creators nearest to their quota, each with where the store sees them. */
function askers(count) {
  const asked = session.top(count).map(async ({ id, plan, limit, requests }) => {
    const { remaining, reset } = await session.status(id, limit, plan);
    return { id, plan, limit, requests, remaining, reset };
  });
  return Promise.all(asked);
}

function configure(wanted) {
  if (session.isOpen) {
    throw configError('configure() must be called before the first check, or after close()');
  }
  options = creatorOptions(wanted);
  const { listeners } = session;
  session = new Session(options);
  // Who listens, listens to the creators, whatever their limiter's options.
  session.listeners = listeners;
}

function getMetrics() {
  return metricsOf(options.name);
}

function onAnomaly(listener) {
  return session.listeners.add(callable('listener', listener));
}

function close() {
  return session.close();
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
  close,
  tryConnection,
  askers,
};
