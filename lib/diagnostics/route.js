'use strict';

/** @import * as Public from '../../index.d.ts' */

const { createHash, randomUUID, timingSafeEqual } = require('node:crypto');
const { record, text } = require('../validate.js');
const { jsonResponse, responseClass } = require('../http/response.js');
const { isCorrelationId, createPublicTest, testConnection, testTimeout } = require('./test-connection.js');

const METHODS = 'GET, OPTIONS';

/** When a monitor should repeat the request: an open breaker waits 30 s at most. */
const RETRY_AFTER_SECONDS = '60';

/**
 * Creates `connectionRoute` from a function that tests the connection, and from a factory of such functions for
 * requests without the token.
 *
 * @param {typeof Public.testConnection} test
 * @param {() => typeof Public.testConnection} createPublicTest
 * @returns {typeof Public.connectionRoute}
 */
function createConnectionRoute(test, createPublicTest = () => test) {
  return function connectionRoute(options = {}) {
    record('options', options, ['operatorToken', 'timeoutMs']);
    const isOperator = operatorCheck(options.operatorToken);
    const timeoutMs = testTimeout(options.timeoutMs);
    const publicTest = createPublicTest();
    return {
      async GET(request) {
        // Before the test: without a Response, its result could not be returned.
        responseClass();
        const requestedId = request.headers.get('x-correlation-id');
        const correlationId = requestedId !== null && isCorrelationId(requestedId) ? requestedId : randomUUID();
        const details = isOperator(request.headers.get('authorization'));
        const chosenTest = details ? test : publicTest;
        return response(await chosenTest({ details, correlationId, timeoutMs }));
      },
      OPTIONS() {
        return new (responseClass())(null, { status: 204, headers: { Allow: METHODS } });
      },
    };
  };
}

/** @param {Public.ConnectionReport} report */
function response(report) {
  /** @type {Record<string, string>} */
  const headers = {
    'Cache-Control': 'no-store',
    'X-Correlation-Id': report.meta.correlationId,
    'X-Duration-Ms': `${parseInt(report.performance.totalDuration, 10)}`,
  };
  if (!report.success && report.errorType === 'connection') headers['Retry-After'] = RETRY_AFTER_SECONDS;
  return jsonResponse(report, status(report), headers);
}

/** @param {Public.ConnectionReport} report */
function status(report) {
  if (report.success) return 200;
  return report.errorType === 'configuration' ? 500 : 503;
}

/**
 * Returns a function that checks an Authorization header for the operator's token. Without a token, no header passes.
 *
 * @param {string | undefined} token
 * @returns {(header: string | null) => boolean}
 */
function operatorCheck(token) {
  if (token === undefined || token === '') return () => false;
  text('options.operatorToken', token, {
    // A header carries no other characters unchanged, and Node.js limits the headers of a request to 16 KiB: any other
    // token would never match, and the operator would not learn why.
    pattern: /^[\x21-\x7e]+$/,
    max: 16_384,
    expected: 'printable ASCII characters without spaces or line breaks, 16384 at most',
  });
  const expected = digest(token);
  return (header) => {
    const [, sent] = /^Bearer +([\x21-\x7e]+)$/i.exec(header ?? '') ?? [];
    // Digests have equal lengths, so that the time of the comparison reveals nothing about the token.
    return sent !== undefined && timingSafeEqual(digest(sent), expected);
  };
}

/** @param {string} token */
function digest(token) {
  return createHash('sha256').update(token).digest();
}

module.exports = { connectionRoute: createConnectionRoute(testConnection, createPublicTest), createConnectionRoute };
