'use strict';

const { coded } = require('../errors.js');

/**
 * Keeps the original of a copied response alive as long as its body. Node.js cancels the unread body of a fetched
 * response when the response is collected, and the copy does not refer to the original.
 *
 * @type {WeakMap<object, Response>}
 */
const originalResponses = new WeakMap();

/**
 * The headers that were set on a response in place, without a copy.
 *
 * @type {WeakMap<Headers, Map<string, string>>}
 */
const headersSet = new WeakMap();

/**
 * The global Response class. Looked up at each call: a test runner or a framework may define its own later.
 *
 * @throws Error if there is none.
 */
function responseClass() {
  const { Response } = globalThis;
  if (typeof Response === 'function') return Response;
  const message =
    'There is no global Response (Fetch standard) here, which answers are made of: the host lacks it, or a test environment hides it';
  throw coded(new Error(message), 'ERR_RATE_LIMIT_PLATFORM');
}

/**
 * Not `Response.json`: older hosts and polyfills do not have it.
 *
 * @param {unknown} body
 * @param {number} status
 * @param {Record<string, string>} [headers]
 */
function jsonResponse(body, status, headers = {}) {
  const init = { status, headers: { 'Content-Type': 'application/json', ...headers } };
  return new (responseClass())(JSON.stringify(body), init);
}

/**
 * Checks the shape: a response of another realm, or of a library, is not an instance of this realm's class.
 *
 * @param {unknown} value
 * @returns {value is Response}
 */
function isResponse(value) {
  if (value === null || typeof value !== 'object') return false;
  const { status, headers } = /** @type {Partial<Response>} */ (value);
  return (
    typeof status === 'number' &&
    typeof headers?.get === 'function' &&
    typeof headers.has === 'function' &&
    typeof headers.set === 'function' &&
    typeof headers.delete === 'function'
  );
}

/**
 * Adds the `headers` that the response does not have. Its body remains the same stream.
 *
 * @param {Response} response
 * @param {Record<string, string>} headers
 */
function withHeaders(response, headers) {
  // A response of a library or polyfill may keep its body where a copy cannot find it: it is copied only if its headers
  // are immutable.
  const hidesBody = !(response instanceof globalThis.Response) || response.body === undefined;
  if (hidesBody && setInPlace(/** @type {Response} */ (response).headers, headers)) return response;
  // Response.error() and the like: cannot be copied, and their headers are immutable.
  if (response.status < 200) return response;
  // A copy even if the headers are mutable: a handler may return one object twice, and headers about one creator must
  // not reach the next.
  const copy = new globalThis.Response(response.body, {
    status: response.status,
    statusText: response.statusText,
    headers: response.headers,
  });
  if (response.body) originalResponses.set(response.body, response);
  addMissing(copy.headers, headers);
  return copy;
}

/** @type {(target: Headers, headers: Record<string, string>) => boolean} */
function setInPlace(target, headers) {
  try {
    // A handler may return this object twice as well: headers about the previous creator are removed if still
    // unchanged.
    const earlier = headersSet.get(target) ?? new Map();
    for (const [name, value] of earlier) {
      if (target.get(name) === value) target.delete(name);
    }
    headersSet.set(target, addMissing(target, headers));
    return true;
  } catch {
    // The headers are immutable, as those of a redirect or of a fetched response.
    return false;
  }
}

/**
 * Sets the headers that are missing, and returns them.
 *
 * @param {Headers} target
 * @param {Record<string, string>} headers
 */
function addMissing(target, headers) {
  const added = Object.entries(headers).filter(([name]) => !target.has(name));
  for (const [name, value] of added) target.set(name, value);
  return new Map(added);
}

module.exports = { isResponse, jsonResponse, responseClass, withHeaders };
