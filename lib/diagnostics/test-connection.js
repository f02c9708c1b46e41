'use strict';

/** @import * as Public from '../../index.d.ts' */
/** @import { ConnectionTestResult } from '../lazy-limiter.js' */

const { randomUUID } = require('node:crypto');
const { warn } = require('../events.js');
const { boolean, integer, record } = require('../validate.js');
const creators = require('../creators.js');
const { wrongType, wrongValue } = require('../errors.js');
const { CODES } = require('./troubleshooting.js');
const { reportError, reportResult } = require('./report.js');

/** @typedef {(timeoutMs: number) => Promise<ConnectionTestResult>} RunTest */

/**
 * `testConnection` over a function that makes the result.
 *
 * @param {RunTest} runTest
 * @returns {typeof Public.testConnection}
 */
function createTester(runTest) {
  return async function testConnection(options = {}) {
    record('options', options, ['details', 'correlationId', 'timeoutMs']);
    const { details = true, correlationId = randomUUID() } = options;
    boolean('options.details', details);
    checkCorrelationId('options.correlationId', correlationId);
    const timeoutMs = testTimeout(options.timeoutMs);
    const begun = performance.now();
    const request = () => ({ details, correlationId, totalMs: performance.now() - begun });
    try {
      const result = await runTest(timeoutMs);
      return reportResult(result, request());
    } catch (error) {
      const { code = '', message } = /** @type {NodeJS.ErrnoException} */ (error ?? {});
      return reportError(CODES.includes(code) ? { code, message } : unexpected(error), request());
    }
  };
}

/**
 * Its message may hold anything, so it goes to the log and not into a report.
 *
 * @param {unknown} error
 */
function unexpected(error) {
  warn('The test of the connection failed', error);
  return { code: 'UNKNOWN', message: 'The test itself failed; the log has the error' };
}

function testTimeout(timeoutMs = 2000) {
  return integer('options.timeoutMs', timeoutMs, 1, 60_000);
}

/** @type {(what: string, id: string) => void} */
function checkCorrelationId(what, id) {
  if (typeof id !== 'string') throw wrongType(what, 'a string', id);
  if (!isCorrelationId(id)) throw wrongValue(what, '1 to 128 printable ASCII characters');
}

/**
 * What may go into a header and a log line as it is.
 *
 * @param {string} id
 */
function isCorrelationId(id) {
  return id.length <= 128 && /^[\x20-\x7e]+$/.test(id);
}

/** How long strangers are told of the same result. */
const SHARED_MS = 1000;

/**
 * `runTest`, but for all who ask while it is under way, and within a second of its beginning, only once: whoever may
 * ask without a token must not make Redis work, nor wait, however often.
 *
 * @param {RunTest} runTest
 * @returns {RunTest}
 */
function singleFlight(runTest) {
  /** @type {Promise<ConnectionTestResult>} */
  let result;
  let until = 0;
  let inFlight = false;
  return (timeoutMs) => {
    if (!inFlight && performance.now() >= until) {
      inFlight = true;
      until = performance.now() + SHARED_MS;
      result = runTest(timeoutMs).finally(() => (inFlight = false));
    }
    return result;
  };
}

// Looked up at each call: the creators' limiter may have been configured anew.
/** @type {RunTest} */
const testCreatorConnection = (timeoutMs) => creators.testCreatorConnection(timeoutMs);
const testConnection = createTester(testCreatorConnection);
/** One that many may call. */
const createPublicTest = () => createTester(singleFlight(testCreatorConnection));

module.exports = { testConnection, createPublicTest, createTester, testTimeout, isCorrelationId };
