'use strict';

/** @import { AwsCredentials, ElastiCacheIamOptions } from '../../index.d.ts' */

const { isDate } = require('node:util').types;
const { configError, wrongReturn, wrongType, timedOut } = require('../errors.js');

const EXPECTED = 'AWS credentials: { accessKeyId, secretAccessKey, sessionToken?, expiration? }';

/** How long credentials are waited for: the metadata services of AWS answer within milliseconds, or not at all. */
const TIMEOUT_MS = 5000;

/** Where the server goes on refusing, the services behind the chain are asked no more often than that. */
const REFRESH_MS = 60_000;

/**
 * A function that gives the credentials that are valid now: those given, what the function given gives, or what the standard
 * chain of AWS finds. Its argument says that a token by the last ones was refused.
 *
 * @param {ElastiCacheIamOptions['credentials']} provided
 * @returns {(refused: boolean) => Promise<AwsCredentials>}
 */
function credentialSource(provided) {
  const what = 'options.credentials';
  if (provided === undefined) return chain();
  if (typeof provided === 'function') {
    return async () => {
      const found = await withTimeout(TIMEOUT_MS, withoutMessage(provided, what));
      const credentials = validCredentials(found);
      if (credentials === undefined) throw wrongReturn(what, `a promise of ${EXPECTED}`, found);
      return credentials;
    };
  }
  const credentials = validCredentials(provided);
  if (credentials === undefined)
    throw wrongType(what, `${EXPECTED}, or a function that returns a promise of them`, provided);
  return async () => credentials;
}

/**
 * The environment, files of the developer, the container, the machine: in the order of AWS's own tools.
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
    // It keeps what it found, and may have found it in a file that has been written anew.
    const forceRefresh = refused && performance.now() - refreshed >= REFRESH_MS;
    if (forceRefresh) refreshed = performance.now();
    try {
      return await withTimeout(
        TIMEOUT_MS,
        withoutMessage(() => current({ forceRefresh }), 'the credential provider chain of AWS'),
      );
    } catch (error) {
      // It shares what is under way: one that hangs would hang for everybody after.
      provider = undefined;
      throw error;
    }
  };
}

/** Loaded by whoever uses the chain, and by nobody else. */
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
 * What of them is needed; undefined where it is not there.
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
 * What `fetchCredentials` gives, or an error that names nothing but the class of its own: a message may quote a secret.
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
    // Whoever waits for a check keeps the process alive, and nobody else. In the jsdom of a test runner it is a number.
    timer.unref?.();
  });
  return Promise.race([promise, timeout]).finally(() => clearTimeout(timer));
}

module.exports = { credentialSource };
