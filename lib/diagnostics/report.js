'use strict';

/** @import { ConnectionFailure, ConnectionReport, ConnectionSuccess } from '../../index.d.ts' */
/** @import { Place } from './troubleshooting.js' */
/** @import { ConnectionTestResult } from '../lazy-limiter.js' */

const { adviceFor } = require('./troubleshooting.js');

const CONFIG = 'ERR_RATE_LIMIT_CONFIG';

/** @typedef {{ details: boolean, correlationId: string, totalMs: number }} Asked */

/**
 * The report of a trial: what Redis did, in the words of types/connection.d.ts.
 *
 * @param {ConnectionTestResult} trial
 * @param {Asked} asked
 * @returns {ConnectionReport}
 */
function reportTrial(trial, asked) {
  return trial.error ? failure(trial.error, trial, asked) : success(trial, asked);
}

/**
 * The report where it never came to a trial.
 *
 * @param {{ code: string, message: string }} error
 * @param {Asked} asked
 */
function reportError(error, asked) {
  return failure(error, {}, asked);
}

/**
 * @param {Extract<ConnectionTestResult, { key: string }>} trial
 * @param {Asked} asked
 * @returns {ConnectionSuccess}
 */
function success(trial, asked) {
  const timestamp = new Date().toISOString();
  return {
    success: true,
    message: 'Redis answers, and keeps what it is given',
    ping: 'PONG',
    pong: 'PONG',
    testValue: trial.value,
    timestamp,
    connection: place(trial, asked),
    tests: {
      ping: { result: 'PONG', duration: duration(trial.pingMs) },
      set: { key: trial.key, duration: duration(trial.setMs) },
      get: { value: trial.value, duration: duration(trial.getMs) },
      delete: { duration: duration(trial.deleteMs) },
    },
    performance: { totalDuration: duration(asked.totalMs) },
    meta: { timestamp, correlationId: asked.correlationId },
  };
}

/**
 * @param {{ code: string, message: string, reason?: string }} error
 * @param {Tried} trial
 * @param {Asked} asked
 * @returns {ConnectionFailure}
 */
function failure({ code, message, reason }, trial, asked) {
  const timestamp = new Date().toISOString();
  const { meaning, causes, steps, retryable } = adviceFor(code, reason);
  const configuration = code === CONFIG;
  return {
    success: false,
    // The message of an error may name the host: a stranger gets fixed words in its place.
    error: asked.details ? message : meaning,
    errorType: configuration ? 'configuration' : 'connection',
    code,
    message: configuration ? 'Nothing was tried: the configuration cannot work' : 'Redis did not do as it was asked',
    timestamp,
    connection: place(trial, asked),
    troubleshooting: { possibleCauses: [...causes], nextSteps: steps(spoken(trial, asked)) },
    performance: { totalDuration: duration(asked.totalMs) },
    meta: { timestamp, correlationId: asked.correlationId, retryable },
  };
}

/** @typedef {{ host?: string, port?: number, version?: string | undefined }} Tried */

/**
 * @param {Tried} trial
 * @param {Asked} asked
 */
function place({ host, port, version }, { details }) {
  if (!details) return { host: 'hidden', port: 'hidden', redisVersion: 'hidden' };
  return { host: host ?? 'unknown', port: `${port ?? 'unknown'}`, redisVersion: version ?? 'unknown' };
}

/**
 * The place as the advice may speak of it.
 *
 * @param {Tried} trial
 * @param {Asked} asked
 * @returns {Place}
 */
function spoken({ host, port }, { details }) {
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

module.exports = { reportTrial, reportError };
