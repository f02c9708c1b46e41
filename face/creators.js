'use strict';

const { idText, listenerOf, planNumber } = require('./arguments.js');
const { configError } = require('./errors.js');
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

function onAnomaly(listener) {
  return session.listeners.add(listenerOf(listener));
}

function close() {
  return session.close();
}

module.exports = { checkCreatorRateLimit, getRateLimitStatus, resetCreatorRateLimit, configure, onAnomaly, close };
