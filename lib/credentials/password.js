'use strict';

// A password function as it is asked: the application's own, or one that this package has made.

/** @import { RedisOptions } from '../../index.d.ts' */

const { MAX_CREDENTIAL_LENGTH } = require('../validate.js');
const { disclosableMessage } = require('../errors.js');

/** @typedef {() => string | Promise<string>} PasswordFunction */

/**
 * What is known of the functions that this package has made.
 *
 * @type {WeakMap<object, { username: string, invalidate: () => void }>}
 */
const ownSources = new WeakMap();

/**
 * Notes of `source` that its passwords are those of `username`, and how it is told that the server has refused what it
 * gave. Not by an argument: an application's function may take one that means something else.
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
 * Whose passwords they are, where that is known.
 *
 * @param {RedisOptions['password']} source
 */
function usernameOf(source) {
  return typeof source === 'function' ? ownSources.get(source)?.username : undefined;
}

/**
 * Resolves to the `password` that `source` gives, or to the `reason` why there is none. What a function throws is not
 * told, it may hold a secret; the words of this package's errors are. `refused`: the last one is no good.
 *
 * @param {PasswordFunction | undefined} source
 * @param {boolean} refused
 * @param {import('../context.js').InContext} inContext
 * @returns {Promise<{ password: string, reason?: undefined } | { password?: undefined, reason: string }>}
 */
async function requestPassword(source, refused, inContext = (call) => call()) {
  try {
    if (refused && source !== undefined) ownSources.get(source)?.invalidate();
    const given = await inContext(() => source?.());
    if (typeof given === 'string' && given !== '') {
      if (given.length > MAX_CREDENTIAL_LENGTH)
        return { reason: `it returned more than ${MAX_CREDENTIAL_LENGTH} characters` };
      if (!given.isWellFormed()) return { reason: 'it returned a string with a lone surrogate' };
      return { password: given };
    }
    return { reason: given === '' ? 'it returned an empty string' : 'it returned no string' };
  } catch (error) {
    return { reason: disclosableMessage(/** @type {Error} */ (error)) ?? 'it failed' };
  }
}

module.exports = { registerPasswordSource, usernameOf, requestPassword };
