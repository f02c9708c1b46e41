'use strict';

/** @import { StoreStateChange } from '../index.d.ts' */
/** @import { CheckedOptions } from './options.js' */

const { warn } = require('./anomaly-events.js');
const { constants } = require('./native.js');

/**
 * @param {CheckedOptions} options
 * @param {string} code
 * @param {string} shard Empty: not known.
 * @returns {StoreStateChange}
 */
function awayChange({ name, onStoreError }, code, shard) {
  const policy = constants.storeErrorPolicies[onStoreError];
  return { state: 'away', limiter: name, policy, code, ...(shard === '' ? {} : { shard }) };
}

/**
 * @param {CheckedOptions} options
 * @param {number} durationMs
 * @param {number} decided
 * @returns {StoreStateChange}
 */
function backChange({ name, onStoreError }, durationMs, decided) {
  return { state: 'back', limiter: name, policy: constants.storeErrorPolicies[onStoreError], durationMs, decided };
}

/**
 * The line for a change that nobody listens for.
 *
 * @param {StoreStateChange} change
 */
function logStoreState({ state, limiter, policy, code, shard, durationMs = 0, decided }) {
  if (state === 'away') {
    const at = shard === undefined ? '' : ` at ${shard}`;
    warn(`Redis is away for limiter '${limiter}' (${code}${at}): onStoreError '${policy}' decides until it is back`);
    return;
  }
  const did = policy === 'throw' ? 'rejected' : 'decided';
  const checks = decided === 1 ? '1 check' : `${decided} checks`;
  const seconds = (durationMs / 1000).toFixed(1);
  warn(
    `Redis is back for limiter '${limiter}' after ${seconds} s: onStoreError '${policy}' ${did} ${checks} meanwhile`,
  );
}

module.exports = { awayChange, backChange, logStoreState };
