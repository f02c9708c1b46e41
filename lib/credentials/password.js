'use strict';

// Calls the password function: one of the application, or one that this package has created.

/** @import { RedisOptions } from '../../index.d.ts' */

const { MAX_CREDENTIAL_LENGTH } = require('../validate.js');
const { disclosableMessage } = require('../errors.js');

/** @typedef {() => string | Promise<string>} PasswordFunction */

/**
 * The password functions that this package has created.
 *
 * @type {WeakMap<object, { username: string, invalidate: () => void }>}
 */
const ownSources = new WeakMap();

/**
 * Records that the passwords of `source` are those of `username`, and how to invalidate a password that the server has
 * rejected. Not by an argument of the function: a function of the application may have one of another meaning.
 *
 * @template {PasswordFunction} F
 * @param {F} source
 * @param {string} username
 * @param {() => void} invalidate
 */
function registerPasswordSource(source, username, invalidate) {
  ownSources.set(source, { username, invalidate });
  return source;
}

/**
 * The user whose passwords a function returns, if known.
 *
 * @param {RedisOptions['password']} source
 */
function usernameOf(source) {
  return typeof source === 'function' ? ownSources.get(source)?.username : undefined;
}

/**
 * Resolves to the `password` that `source` returns, or to the `reason` why there is none. The reason quotes errors of
 * this package only: any other may contain a secret. `refused`: the server has rejected the last password.
 *
 * @param {PasswordFunction | undefined} source
 * @param {boolean} refused
 * @param {import('../context.js').InContext} inContext
 * @returns {Promise<{ password: string, reason?: undefined } | { password?: undefined, reason: string }>}
 */
async function requestPassword(source, refused, inContext = (call) => call()) {
  try {
    if (refused && source !== undefined) ownSources.get(source)?.invalidate();
    const password = await inContext(() => source?.());
    if (typeof password === 'string' && password !== '') {
      if (password.length > MAX_CREDENTIAL_LENGTH)
        return { reason: `it returned more than ${MAX_CREDENTIAL_LENGTH} characters` };
      if (!password.isWellFormed()) return { reason: 'it returned a string with a lone surrogate' };
      return { password };
    }
    return { reason: password === '' ? 'it returned an empty string' : 'it returned no string' };
  } catch (error) {
    return { reason: disclosableMessage(/** @type {Error} */ (error)) ?? 'it failed' };
  }
}

module.exports = { registerPasswordSource, usernameOf, requestPassword };
