'use strict';

const { coded } = require('../errors.js');

/**
 * The response a copy was made of, for as long as the body lives. Node cancels the body of a fetched response that is
 * collected before somebody reads it, and whoever holds the copy does not hold the original.
 *
 * @type {WeakMap<object, Response>}
 */
const originalResponses = new WeakMap();

/**
 * What was set here of headers that are no copy.
 *
 * @type {WeakMap<Headers, Map<string, string>>}
 */
const headersSet = new WeakMap();

/**
 * The host's class. Looked up at each call: a test runner or a framework may bring its own later.
 *
 * @throws Error where there is none.
 */
function responseClass() {
  const { Response } = globalThis;
  if (typeof Response === 'function') return Response;
  const message =
    'There is no global Response (Fetch standard) here, which answers are made of: the host lacks it, or a test environment hides it';
  throw coded(new Error(message), 'ERR_RATE_LIMIT_PLATFORM');
}

/**
 * Not by `Response.json`: polyfills and hosts older than it have no such function.
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
 * By its shape: a response of another realm, or of a library, is no instance of this realm's class.
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
 * The response with those of `headers` that it does not set itself. Its body goes on as the stream it is.
 *
 * @param {Response} response
 * @param {Record<string, string>} headers
 */
function withHeaders(response, headers) {
  // One that a library or a polyfill has made may keep its body where a copy does not find it: only what refuses is copied.
  const hidesBody = !(response instanceof globalThis.Response) || response.body === undefined;
  if (hidesBody && setInPlace(/** @type {Response} */ (response).headers, headers)) return response;
  // Response.error() and the like: there is no second one, and its headers refuse.
  if (response.status < 200) return response;
  // A copy even where the headers could be set: a handler may return one object twice, and what is said of one creator
  // must not be told to the next.
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
    // A handler may return this one twice, too: what was said of one creator is taken back, where it still stands.
    const earlier = headersSet.get(target) ?? new Map();
    for (const [name, value] of earlier) {
      if (target.get(name) === value) target.delete(name);
    }
    headersSet.set(target, addMissing(target, headers));
    return true;
  } catch {
    // Immutable, as those of a redirect or of a fetch.
    return false;
  }
}

/**
 * Returns those that were not there.
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
