'use strict';

/** @import { ElastiCacheIamOptions } from '../../index.d.ts' */

const { boolean, record, text, userName } = require('../validate.js');
const { configError } = require('../errors.js');
const { registerPasswordSource } = require('./password.js');
const { credentialSource } = require('./aws-credentials.js');
const { TokenCache } = require('./token-cache.js');
const { presigned } = require('./presign.js');

const KEYS = ['cache', 'username', 'region', 'serverless', 'credentials'];

/**
 * A function for `redis.password` that returns IAM tokens of ElastiCache. The first call loads the packages of AWS.
 *
 * @param {ElastiCacheIamOptions} options
 */
function elastiCacheIam(options) {
  record('options', options, KEYS);
  const { region, serverless = false, credentials } = options;
  // The name is signed as the host of a request, and hosts are lower case.
  const cache = cacheName('options.cache', options.cache).toLowerCase();
  const username = userName('options.username', options.username);
  if (region !== undefined) regionName('options.region', region);
  boolean('options.serverless', serverless);
  const findCredentials = credentialSource(credentials);
  const tokens = new TokenCache(async (now, refused) => {
    const signingRegion = region ?? regionOfEnvironment();
    const found = await findCredentials(refused);
    const token = await presigned({ cache, username, region: signingRegion, serverless, credentials: found }, now);
    return { token, expiration: found.expiration?.getTime() };
  });
  return registerPasswordSource(
    () => tokens.token(),
    username,
    () => tokens.invalidate(),
  );
}

/** @type {(argument: string, name: string) => string} */
function cacheName(argument, name) {
  return text(argument, name, {
    // ElastiCache allows neither two hyphens in a row nor one at the end.
    pattern: /^[A-Za-z][A-Za-z0-9]*(-[A-Za-z0-9]+)*$/,
    max: 63,
    expected: 'the name of the replication group or serverless cache, not its endpoint',
  });
}

/** @type {(argument: string, name: string) => string} */
function regionName(argument, name) {
  return text(argument, name, {
    pattern: /^[a-z0-9-]+$/,
    max: 63,
    expected: "the name of a region, such as 'eu-west-1'",
  });
}

/** Read when a token is signed: a build may not have the variables. */
function regionOfEnvironment() {
  const { AWS_REGION, AWS_DEFAULT_REGION } = process.env;
  const region = AWS_REGION || AWS_DEFAULT_REGION;
  if (!region) throw configError('elastiCacheIam: no region is known; set options.region or AWS_REGION');
  if (!/^[a-z0-9-]{1,63}$/.test(region)) {
    throw configError('elastiCacheIam: AWS_REGION (else AWS_DEFAULT_REGION) must be the name of a region');
  }
  return region;
}

module.exports = { elastiCacheIam };
