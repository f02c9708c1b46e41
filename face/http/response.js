'use strict';

/**
 * The response a copy was made of, for as long as the body lives. Node cancels the body of a fetched response that is
 * collected before somebody reads it, and whoever holds the copy does not hold the original.
 */
const originals = new WeakMap();

/** By its shape: a response of another realm, or of a library, is no instance of this realm's class. */
function isResponse(value) {
  if (value === null || typeof value !== 'object') return false;
  const { status, headers } = value;
  return (
    typeof status === 'number' &&
    typeof headers?.get === 'function' &&
    typeof headers.has === 'function' &&
    typeof headers.set === 'function'
  );
}

/** The response with those of `headers` that it does not set itself. Its body goes on as the stream it is. */
function withHeaders(response, headers) {
  // One that a library has made may keep its body where a copy does not find it: only what refuses is copied.
  if (!(response instanceof globalThis.Response) && setThere(response, headers)) return response;
  // Response.error() and the like: there is no second one, and its headers refuse.
  if (response.status < 200) return response;
  // A copy even where the headers could be set: a handler may return one object twice, and what is said of one creator
  // must not be told to the next.
  const copy = new globalThis.Response(response.body, {
    status: response.status,
    statusText: response.statusText,
    headers: response.headers,
  });
  if (response.body) originals.set(response.body, response);
  addTo(copy.headers, headers);
  return copy;
}

function setThere(response, headers) {
  try {
    addTo(response.headers, headers);
    return true;
  } catch {
    // Immutable, as those of a redirect or of a fetch.
    return false;
  }
}

function addTo(target, headers) {
  for (const [name, value] of Object.entries(headers)) {
    if (!target.has(name)) target.set(name, value);
  }
}

module.exports = { isResponse, withHeaders };
