'use strict';

/** @import { AwsCredentials, ElastiCacheIamOptions } from '../../index.d.ts' */

const { isDate } = require('node:util').types;
const { configError, wrongReturn, wrongType, timedOut } = require('../errors.js');

const EXPECTED = 'AWS credentials: { accessKeyId, secretAccessKey, sessionToken?, expiration? }';

/** How long to wait for credentials: the metadata services of AWS answer within milliseconds or not at all. */
const TIMEOUT_MS = 5000;

/**
 * The shortest time between two forced refreshes, if the server keeps rejecting tokens: the chain calls remote
 * services.
 */
const REFRESH_MS = 60_000;

/**
 * Returns a function that resolves to the current credentials: the given ones, those of the given function, or those
 * that the standard provider chain of AWS finds. Its argument says that the server rejected a token signed with the
 * last ones.
 *
 * @param {ElastiCacheIamOptions['credentials']} provided
 * @returns {(refused: boolean) => Promise<AwsCredentials>}
 */
function credentialSource(provided) {
  const argument = 'options.credentials';
  if (provided === undefined) return chain();
  if (typeof provided === 'function') {
    return async () => {
      const found = await withTimeout(TIMEOUT_MS, withoutMessage(provided, argument));
      const credentials = validCredentials(found);
      if (credentials === undefined) throw wrongReturn(argument, `a promise of ${EXPECTED}`, found);
      return credentials;
    };
  }
  const credentials = validCredentials(provided);
  if (credentials === undefined)
    throw wrongType(argument, `${EXPECTED}, or a function that returns a promise of them`, provided);
  return async () => credentials;
}

/**
 * Searches the environment, the developer's files, the container and the machine, in the order of AWS's own tools.
 *
 * @returns {(refused: boolean) => Promise<AwsCredentials>}
 */
function chain() {
  /** @type {ReturnType<ReturnType<typeof library>['defaultProvider']> | undefined} */
  let provider;
  let refreshed = -Infinity;
  return async (refused) => {
    provider ??= library().defaultProvider();
    const current = provider;
    // The provider caches its result, and a file that it read may have been rewritten since.
    const forceRefresh = refused && performance.now() - refreshed >= REFRESH_MS;
    if (forceRefresh) refreshed = performance.now();
    try {
      return await withTimeout(
        TIMEOUT_MS,
        withoutMessage(() => current({ forceRefresh }), 'the credential provider chain of AWS'),
      );
    } catch (error) {
      // A provider shares its request in flight: if that hangs, all later calls would hang as well.
      provider = undefined;
      throw error;
    }
  };
}

/** Loaded when the chain is used, and not before. */
function library() {
  try {
    return require('@aws-sdk/credential-provider-node');
  } catch {
    throw configError(
      'elastiCacheIam needs @aws-sdk/credential-provider-node, which cannot be loaded: ' +
        'npm install @aws-sdk/credential-provider-node, or give options.credentials',
    );
  }
}

/**
 * The fields that signing needs; undefined if they are missing or invalid.
 *
 * @param {AwsCredentials} value
 * @returns {AwsCredentials | undefined}
 */
function validCredentials(value) {
  if (value === null || typeof value !== 'object') return undefined;
  const { accessKeyId, secretAccessKey, sessionToken, expiration } = value;
  const [id, secret, token] = [accessKeyId, secretAccessKey, sessionToken ?? ''];
  const areStrings = [id, secret, token].every((one) => typeof one === 'string') && id !== '' && secret !== '';
  if (!areStrings || !(expiration === undefined || (isDate(expiration) && !Number.isNaN(expiration.getTime()))))
    return undefined;
  return { accessKeyId, secretAccessKey, sessionToken: sessionToken || undefined, expiration };
}

/**
 * The result of `fetchCredentials`. On failure, an error that names only the class of the original: its message may
 * quote a secret.
 *
 * @template T
 * @param {() => Promise<T>} fetchCredentials
 * @param {string} provider
 */
async function withoutMessage(fetchCredentials, provider) {
  try {
    return await fetchCredentials();
  } catch (error) {
    const { name } = /** @type {Partial<Error>} */ (error ?? {});
    const named = typeof name === 'string' && /^[A-Za-z]{1,64}$/.test(name) ? ` (${name})` : '';
    throw configError(`elastiCacheIam: ${provider} gave no credentials${named}`);
  }
}

/**
 * @template T
 * @param {number} ms
 * @param {Promise<T>} promise
 * @returns {Promise<T>}
 */
function withTimeout(ms, promise) {
  /** @type {NodeJS.Timeout} */
  let timer;
  /** @type {Promise<never>} */
  const timeout = new Promise((_, reject) => {
    timer = setTimeout(() => reject(timedOut(`elastiCacheIam: no credentials came within ${ms} ms`)), ms);
    // A check in flight keeps the process alive, this timer does not. In the jsdom of a test runner a timer is a
    // number.
    timer.unref?.();
  });
  return Promise.race([promise, timeout]).finally(() => clearTimeout(timer));
}

module.exports = { credentialSource };
