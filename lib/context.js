'use strict';

/** @typedef {<T>(call: () => T) => T} InContext */

/** @type {Pick<typeof import('node:async_hooks'), 'AsyncResource'> | undefined} */
let hooks;
try {
  hooks = require('node:async_hooks');
} catch {
  // A host without it has no contexts.
}

/**
 * What calls a function in the asynchronous context (AsyncLocalStorage) of now. Answers come in the context of some
 * request; what the application has registered must not run in that of a stranger.
 *
 * @returns {InContext}
 */
function contextOfNow() {
  if (hooks === undefined) return (call) => call();
  const resource = new hooks.AsyncResource('RATELIMITCALLBACK', { requireManualDestroy: true });
  // It holds nothing open, and a test runner that looks for open handles counts what is not destroyed.
  resource.emitDestroy();
  return (call) => resource.runInAsyncScope(call);
}

module.exports = { contextOfNow };
