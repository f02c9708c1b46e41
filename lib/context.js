'use strict';

/** @typedef {<T>(call: () => T) => T} InContext */

/** @type {Pick<typeof import('node:async_hooks'), 'AsyncResource'> | undefined} */
let hooks;
try {
  hooks = require('node:async_hooks');
} catch {
  // A host without the module has no asynchronous contexts.
}

/**
 * Captures the current asynchronous context (AsyncLocalStorage). Returns a function that calls another in it. Answers
 * arrive in the context of some request; a callback of the application must not run in the context of an unrelated one.
 *
 * @returns {InContext}
 */
function contextOfNow() {
  if (hooks === undefined) return (call) => call();
  const resource = new hooks.AsyncResource('RATELIMITCALLBACK', { requireManualDestroy: true });
  // The resource holds nothing open, but a test runner that looks for open handles counts it until it is destroyed.
  resource.emitDestroy();
  return (call) => resource.runInAsyncScope(call);
}

module.exports = { contextOfNow };
