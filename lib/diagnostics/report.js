'use strict';

/** @import { ConnectionFailure, ConnectionReport, ConnectionSuccess } from '../../index.d.ts' */
/** @import { EndpointText } from './troubleshooting.js' */
/** @import { ConnectionTestResult } from '../lazy-limiter.js' */

const { troubleshootingFor } = require('./troubleshooting.js');

const CONFIG = 'ERR_RATE_LIMIT_CONFIG';

/** @typedef {{ details: boolean, correlationId: string, totalMs: number }} ReportRequest */

/**
 * The report of a result: what Redis did, in the words of types/connection.d.ts.
 *
 * @param {ConnectionTestResult} result
 * @param {ReportRequest} request
 * @returns {ConnectionReport}
 */
function reportResult(result, request) {
  return result.error ? failure(result.error, result, request) : success(result, request);
}

/**
 * The report where it never came to a result.
 *
 * @param {{ code: string, message: string }} error
 * @param {ReportRequest} request
 */
function reportError(error, request) {
  return failure(error, {}, request);
}

/**
 * @param {Extract<ConnectionTestResult, { key: string }>} result
 * @param {ReportRequest} request
 * @returns {ConnectionSuccess}
 */
function success(result, request) {
  const timestamp = new Date().toISOString();
  return {
    success: true,
    message: 'Redis answers, and keeps what it is given',
    ping: 'PONG',
    pong: 'PONG',
    testValue: result.value,
    timestamp,
    connection: connectionDetails(result, request),
    tests: {
      ping: { result: 'PONG', duration: duration(result.pingMs) },
      set: { key: result.key, duration: duration(result.setMs) },
      get: { value: result.value, duration: duration(result.getMs) },
      delete: { duration: duration(result.deleteMs) },
    },
    performance: { totalDuration: duration(request.totalMs) },
    meta: { timestamp, correlationId: request.correlationId },
  };
}

/**
 * @param {{ code: string, message: string, reason?: string }} error
 * @param {Endpoint} result
 * @param {ReportRequest} request
 * @returns {ConnectionFailure}
 */
function failure({ code, message, reason }, result, request) {
  const timestamp = new Date().toISOString();
  const { meaning, causes, steps, retryable } = troubleshootingFor(code, reason);
  const configuration = code === CONFIG;
  return {
    success: false,
    // The message of an error may name the host: a stranger gets fixed words in its place.
    error: request.details ? message : meaning,
    errorType: configuration ? 'configuration' : 'connection',
    code,
    message: configuration ? 'Nothing was tried: the configuration cannot work' : 'Redis did not do as it was asked',
    timestamp,
    connection: connectionDetails(result, request),
    troubleshooting: { possibleCauses: [...causes], nextSteps: steps(endpointText(result, request)) },
    performance: { totalDuration: duration(request.totalMs) },
    meta: { timestamp, correlationId: request.correlationId, retryable },
  };
}

/** @typedef {{ host?: string, port?: number, version?: string | undefined }} Endpoint */

/**
 * @param {Endpoint} result
 * @param {ReportRequest} request
 */
function connectionDetails({ host, port, version }, { details }) {
  if (!details) return { host: 'hidden', port: 'hidden', redisVersion: 'hidden' };
  return { host: host ?? 'unknown', port: `${port ?? 'unknown'}`, redisVersion: version ?? 'unknown' };
}

/**
 * The place as the advice may speak of it.
 *
 * @param {Endpoint} result
 * @param {ReportRequest} request
 * @returns {EndpointText}
 */
function endpointText({ host, port }, { details }) {
  if (!details || host === undefined) {
    return { host: 'the configured host', port: 'its port', address: 'the configured host and port' };
  }
  return { host, port: `port ${port}`, address: `${host}:${port}` };
}

/**
 * Rounded up: a test that took some time did not take none.
 *
 * @param {number} ms
 */
function duration(ms) {
  return `${Math.ceil(ms)}ms`;
}

module.exports = { reportResult, reportError };
