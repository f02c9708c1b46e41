'use strict';

/** @import { Decision, RateLimitStatus } from '../index.d.ts' */
/** @import { ReadRecord } from './bridge.js' */

// What crosses the boundary to Rust. Every number comes from there: src/napi/abi.rs.

const { constants } = require('./native.js');

const { operations, submitResults, recordKinds, recordFields, anomalyLogEntries, labelFactor, sources } = constants;
const { ALLOWED, REMAINING, RESET, RESET_AFTER, RETRY_AFTER, SOURCE } = recordFields;

const RECORD_LENGTH = Object.keys(recordFields).length;

/**
 * The kind of a request, as the submit function takes it.
 *
 * @param {number} operation
 * @param {number} label
 */
function requestKind(operation, label) {
  return operation + labelFactor * label;
}

// Readers: each reads the record at index `at` of the mailbox.

/**
 * @param {Float64Array} mailbox
 * @param {number} at
 */
function isAllowed(mailbox, at) {
  return mailbox[at + ALLOWED] === 1;
}

/** @type {ReadRecord<Decision>} */
function readDecision(mailbox, at, limit) {
  return {
    allowed: isAllowed(mailbox, at),
    limit,
    remaining: mailbox[at + REMAINING],
    reset: mailbox[at + RESET],
    resetAfterMs: mailbox[at + RESET_AFTER],
    retryAfterMs: mailbox[at + RETRY_AFTER],
    source: sources[mailbox[at + SOURCE]],
  };
}

/** @type {ReadRecord<RateLimitStatus>} */
function readStatus(mailbox, at, limit) {
  return { limit, remaining: mailbox[at + REMAINING], reset: mailbox[at + RESET] };
}

/** @type {ReadRecord<RateLimitStatus & Pick<Decision, 'source'>>} */
function readStatusWithSource(mailbox, at, limit) {
  return { ...readStatus(mailbox, at, limit), source: sources[mailbox[at + SOURCE]] };
}

module.exports = {
  OPERATION: operations,
  SUBMIT_RESULT: submitResults,
  RECORD_KIND: recordKinds,
  RECORD_FIELD: recordFields,
  ANOMALY_LOG_ENTRY: anomalyLogEntries,
  RECORD_LENGTH,
  requestKind,
  isAllowed,
  readDecision,
  readStatus,
  readStatusWithSource,
};
