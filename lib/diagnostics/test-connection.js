'use strict';

/** @import * as Public from '../../index.d.ts' */
/** @import { ConnectionFailure, ConnectionReport, ConnectionSuccess } from '../../index.d.ts' */
/** @import { ConnectionTestResult } from '../lazy-limiter.js' */
/** @import { EndpointText } from './troubleshooting.js' */

const { randomUUID } = require('node:crypto');
const { warn } = require('../events.js');
const { boolean, integer, record } = require('../validate.js');
const { testCreatorConnection } = require('../creators.js');
const { wrongType, wrongValue } = require('../errors.js');
const { CODES, troubleshootingFor } = require('./troubleshooting.js');

const CONFIG = 'ERR_RATE_LIMIT_CONFIG';

/** @typedef {(timeoutMs: number) => Promise<ConnectionTestResult>} RunTest */
/** @typedef {{ details: boolean, correlationId: string, totalMs: number }} ReportContext */

/**
 * Creates `testConnection` from a function that runs the test.
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
    const context = () => ({ details, correlationId, totalMs: performance.now() - begun });
    try {
      const result = await runTest(timeoutMs);
      return reportResult(result, context());
    } catch (error) {
      const { code = '', message } = /** @type {NodeJS.ErrnoException} */ (error ?? {});
      return reportError(CODES.includes(code) ? { code, message } : unexpected(error), context());
    }
  };
}

/**
 * An error without a code of this package. Its message may contain a secret: it goes to the log, not into the report.
 *
 * @param {unknown} error
 */
function unexpected(error) {
  warn('The test of the connection failed', error);
  return { code: 'UNKNOWN', message: 'The test itself failed; the log has the error' };
}

/**
 * The report of a completed test: types/connection.d.ts describes it.
 *
 * @param {ConnectionTestResult} result
 * @param {ReportContext} context
 * @returns {ConnectionReport}
 */
function reportResult(result, context) {
  return result.error ? failure(result.error, result, context) : success(result, context);
}

/**
 * The report of a test that could not run.
 *
 * @param {{ code: string, message: string }} error
 * @param {ReportContext} context
 */
function reportError(error, context) {
  return failure(error, {}, context);
}

/**
 * @param {Extract<ConnectionTestResult, { key: string }>} result
 * @param {ReportContext} context
 * @returns {ConnectionSuccess}
 */
function success(result, context) {
  const timestamp = new Date().toISOString();
  return {
    success: true,
    message: 'Redis answers, and keeps what it is given',
    ping: 'PONG',
    pong: 'PONG',
    testValue: result.value,
    timestamp,
    connection: connectionDetails(result, context),
    tests: {
      ping: { result: 'PONG', duration: duration(result.pingMs) },
      set: { key: result.key, duration: duration(result.setMs) },
      get: { value: result.value, duration: duration(result.getMs) },
      delete: { duration: duration(result.deleteMs) },
    },
    performance: { totalDuration: duration(context.totalMs) },
    meta: { timestamp, correlationId: context.correlationId },
  };
}

/**
 * @param {{ code: string, message: string, reason?: string }} error
 * @param {Endpoint} result
 * @param {ReportContext} context
 * @returns {ConnectionFailure}
 */
function failure({ code, message, reason }, result, context) {
  const timestamp = new Date().toISOString();
  const { meaning, causes, steps, retryable } = troubleshootingFor(code, reason);
  const configuration = code === CONFIG;
  return {
    success: false,
    // The message of an error may name the host: without `details`, a fixed text replaces it.
    error: context.details ? message : meaning,
    errorType: configuration ? 'configuration' : 'connection',
    code,
    message: configuration ? 'Nothing was tried: the configuration cannot work' : 'Redis did not do as it was asked',
    timestamp,
    connection: connectionDetails(result, context),
    troubleshooting: { possibleCauses: [...causes], nextSteps: steps(endpointText(result, context)) },
    performance: { totalDuration: duration(context.totalMs) },
    meta: { timestamp, correlationId: context.correlationId, retryable },
  };
}

/** @typedef {{ host?: string, port?: number, version?: string | undefined }} Endpoint */

/**
 * @param {Endpoint} result
 * @param {ReportContext} context
 */
function connectionDetails({ host, port, version }, { details }) {
  if (!details) return { host: 'hidden', port: 'hidden', redisVersion: 'hidden' };
  return { host: host ?? 'unknown', port: `${port ?? 'unknown'}`, redisVersion: version ?? 'unknown' };
}

/**
 * The endpoint as the troubleshooting steps may name it.
 *
 * @param {Endpoint} result
 * @param {ReportContext} context
 * @returns {EndpointText}
 */
function endpointText({ host, port }, { details }) {
  if (!details || host === undefined) {
    return { host: 'the configured host', port: 'its port', address: 'the configured host and port' };
  }
  return { host, port: `port ${port}`, address: `${host}:${port}` };
}

/**
 * Rounded up, so that no duration is 0 ms.
 *
 * @param {number} ms
 */
function duration(ms) {
  return `${Math.ceil(ms)}ms`;
}

function testTimeout(timeoutMs = 2000) {
  return integer('options.timeoutMs', timeoutMs, 1, 60_000);
}

/** @type {(argument: string, id: string) => void} */
function checkCorrelationId(argument, id) {
  if (typeof id !== 'string') throw wrongType(argument, 'a string', id);
  if (!isCorrelationId(id)) throw wrongValue(argument, '1 to 128 printable ASCII characters');
}

/**
 * Whether the id can be used in a header and a log line without escaping.
 *
 * @param {string} id
 */
function isCorrelationId(id) {
  return id.length <= 128 && /^[\x20-\x7e]+$/.test(id);
}

/** How long requests without the token get the same result. */
const SHARED_MS = 1000;

/**
 * Wraps `runTest` so that all calls during a test, and within a second of its start, share its result: requests without
 * a token must not be able to put load on Redis, however many there are.
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

const testConnection = createTester(testCreatorConnection);
/** Creates a test for requests without the token. */
const createPublicTest = () => createTester(singleFlight(testCreatorConnection));

module.exports = { testConnection, createPublicTest, createTester, testTimeout, isCorrelationId };
