'use strict';

/** @import * as Public from '../../index.d.ts' */
/** @import { ConnectionTestResult } from '../lazy-limiter.js' */

const { randomUUID } = require('node:crypto');
const { warn } = require('../anomaly-events.js');
const { boolean, integer, record } = require('../validate.js');
const creators = require('../creators.js');
const { wrongType, wrongValue } = require('../errors.js');
const { CODES } = require('./troubleshooting.js');
const { reportError, reportTrial } = require('./report.js');

/** @typedef {(timeoutMs: number) => Promise<ConnectionTestResult>} TryConnection */

/**
 * `testConnection` over a function that makes the trial.
 *
 * @param {TryConnection} tryConnection
 * @returns {typeof Public.testConnection}
 */
function testerOver(tryConnection) {
  return async function testConnection(options = {}) {
    record('options', options, ['details', 'correlationId', 'timeoutMs']);
    const { details = true, correlationId = randomUUID() } = options;
    boolean('options.details', details);
    correlation('options.correlationId', correlationId);
    const timeoutMs = testTimeout(options.timeoutMs);
    const begun = performance.now();
    const asked = () => ({ details, correlationId, totalMs: performance.now() - begun });
    try {
      const trial = await tryConnection(timeoutMs);
      return reportTrial(trial, asked());
    } catch (error) {
      const { code = '', message } = /** @type {NodeJS.ErrnoException} */ (error ?? {});
      return reportError(CODES.includes(code) ? { code, message } : unforeseen(error), asked());
    }
  };
}

/**
 * Its message may hold anything, so it goes to the log and not into a report.
 *
 * @param {unknown} error
 */
function unforeseen(error) {
  warn('The test of the connection failed', error);
  return { code: 'UNKNOWN', message: 'The test itself failed; the log has the error' };
}

function testTimeout(timeoutMs = 2000) {
  return integer('options.timeoutMs', timeoutMs, 1, 60_000);
}

/** @type {(what: string, id: string) => void} */
function correlation(what, id) {
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

/** How long strangers are told of the same trial. */
const SHARED_MS = 1000;

/**
 * `tryConnection`, but for all who ask while it is under way, and within a second of its beginning, only once: whoever may
 * ask without a token must not make Redis work, nor wait, however often.
 *
 * @param {TryConnection} tryConnection
 * @returns {TryConnection}
 */
function sharing(tryConnection) {
  /** @type {Promise<ConnectionTestResult>} */
  let trial;
  let until = 0;
  let underWay = false;
  return (timeoutMs) => {
    if (!underWay && performance.now() >= until) {
      underWay = true;
      until = performance.now() + SHARED_MS;
      trial = tryConnection(timeoutMs).finally(() => (underWay = false));
    }
    return trial;
  };
}

// Looked up at each call: the creators' limiter may have been configured anew.
/** @type {TryConnection} */
const testCreatorConnection = (timeoutMs) => creators.testCreatorConnection(timeoutMs);
const testConnection = testerOver(testCreatorConnection);
/** One that many may call. */
const sharedTest = () => testerOver(sharing(testCreatorConnection));

module.exports = { testConnection, sharedTest, testerOver, testTimeout, isCorrelationId };
