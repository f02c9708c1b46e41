'use strict';

/** @import { BinaryLike, Hash, Hmac } from 'node:crypto' */
/** @import { AwsCredentials } from '../../index.d.ts' */

const { createHash, createHmac } = require('node:crypto');
const { configError } = require('../errors.js');
const { TOKEN_LIFE_S } = require('./token-cache.js');

/**
 * The token: a presigned GET of `http://<cache>/?Action=connect&User=<username>`, without its scheme. (Amazon
 * ElastiCache User Guide, "Authenticating with IAM".) `now` is in Unix ms, by this machine's clock.
 *
 * @param {{ cache: string, username: string, region: string, serverless: boolean, credentials: AwsCredentials }} connect
 * @param {number} now
 */
async function presigned({ cache, username, region, serverless, credentials }, now) {
  const { SignatureV4 } = library();
  const signer = new SignatureV4({ service: 'elasticache', region, credentials, sha256: Sha256 });
  const request = {
    method: 'GET',
    protocol: 'http:',
    hostname: cache,
    path: '/',
    headers: { host: cache },
    query: { Action: 'connect', User: username, ...(serverless ? { ResourceType: 'ServerlessCache' } : {}) },
  };
  const { query } = await signer.presign(request, { expiresIn: TOKEN_LIFE_S, signingDate: new Date(now) });
  const parameters = Object.entries(/** @type {Record<string, string>} */ (query)).map(
    ([name, value]) => `${escaped(name)}=${escaped(value)}`,
  );
  return `${cache}/?${parameters.join('&')}`;
}

/** Loaded when a token is signed, and not before. */
function library() {
  try {
    return require('@smithy/signature-v4');
  } catch {
    throw configError(
      'elastiCacheIam needs @smithy/signature-v4, which cannot be loaded: npm install @smithy/signature-v4',
    );
  }
}

/**
 * Escapes as the signature does: encodeURIComponent leaves five characters unescaped that RFC 3986 reserves.
 *
 * @param {string} text
 */
function escaped(text) {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** SHA-256 with the interface that the library expects: an HMAC if there is a secret. */
class Sha256 {
  /** @type {Hash | Hmac} */
  #hash;

  /** @param {BinaryLike | ArrayBuffer | ArrayBufferView} [secret] */
  constructor(secret) {
    this.#hash = secret === undefined ? createHash('sha256') : createHmac('sha256', /** @type {BinaryLike} */ (secret));
  }

  /** @param {Uint8Array} data */
  update(data) {
    this.#hash.update(data);
  }

  async digest() {
    return this.#hash.digest();
  }
}

module.exports = { presigned };
