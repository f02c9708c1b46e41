'use strict';

/** @import { CreatorRateLimitOptions, RateLimiterOptions, RedisOptions } from '../index.d.ts' */
/** @import { NativeRedisOptions } from './addon.d.ts' */

const {
  MAX_CREDENTIAL_LENGTH,
  boolean,
  inRange,
  integer,
  plainName,
  record,
  text,
  userName,
} = require('./validate.js');
const { binding, constants } = require('./native.js');
const { contextOfNow } = require('./context.js');
const { coded, wrongType, wrongValue } = require('./errors.js');
const { usernameOf } = require('./credentials/password.js');
const { DEFAULT_LIMITS, PLANS } = require('./plans.js');

const HOUR_MS = 3_600_000;

const COMMON = ['windowMs', 'redis', 'onStoreError', 'timeoutMs', 'denyCacheMs', 'anomaly'];

const REDIS_KEYS = [
  'url',
  'host',
  'port',
  'username',
  'password',
  'database',
  'tls',
  'cluster',
  'connections',
  'connectTimeoutMs',
];

/** The longest domain name as text: 255 bytes on the wire (RFC 1035, 2.3.4) less the first length byte and the root. */
const MAX_HOST_LENGTH = 253;

/** A user and a password of three characters a byte (percent-encoded), and ample space for the rest of the URL. */
const MAX_URL_LENGTH = 100_000;

/** Twenty times the size of all public root certificates. */
const MAX_CA_LENGTH = 4_194_304;

const PASSWORD_RULE = { max: MAX_CREDENTIAL_LENGTH };

/**
 * The options of a RateLimiter, checked, with the defaults filled in.
 *
 * @param {RateLimiterOptions} options
 */
function limiterOptions(options) {
  record('options', options, ['name', 'limit', ...COMMON]);
  return {
    name: plainName('options.name', options.name),
    limit: integer('options.limit', options.limit, 1, constants.maxLimit),
    ...common(options, integer('options.windowMs', options.windowMs, 1, constants.maxWindowMs)),
  };
}

/**
 * The options of `configure`.
 *
 * @param {CreatorRateLimitOptions} options
 */
function creatorOptions(options = {}) {
  record('options', options, ['plans', ...COMMON]);
  const { windowMs = HOUR_MS, plans = {} } = options;
  record('options.plans', plans, PLANS);
  return {
    name: 'creator',
    planLimits: PLANS.map((plan) =>
      plans[plan] === undefined
        ? DEFAULT_LIMITS[plan]
        : integer(`options.plans.${plan}`, plans[plan], 1, constants.maxLimit),
    ),
    ...common(options, integer('options.windowMs', windowMs, 1, constants.maxWindowMs)),
  };
}

/** @typedef {ReturnType<typeof common> & { name: string }} CheckedOptions */

/**
 * @param {CreatorRateLimitOptions} options
 * @param {number} windowMs
 */
function common(options, windowMs) {
  const { redis, onStoreError = 'local', timeoutMs = 250, denyCacheMs = 1000, anomaly = {} } = options;
  return {
    windowMs,
    redis: redis === undefined ? undefined : redisOptions(redis),
    onStoreError: policy(onStoreError),
    timeoutMs: integer('options.timeoutMs', timeoutMs, 1, 60_000),
    denyCacheMs: integer('options.denyCacheMs', denyCacheMs, 0, 60_000),
    anomaly: anomalyRule(anomaly),
  };
}

/** @param {NonNullable<RateLimiterOptions['onStoreError']>} name */
function policy(name) {
  const number = constants.storeErrorPolicies.indexOf(name);
  if (number < 0) {
    throw wrongValue('options.onStoreError', `one of ${constants.storeErrorPolicies.map((p) => `'${p}'`).join(', ')}`);
  }
  return number;
}

/** @param {NonNullable<RateLimiterOptions['anomaly']>} anomaly */
function anomalyRule(anomaly) {
  if (anomaly === false) return undefined;
  if (anomaly === null || typeof anomaly !== 'object')
    throw wrongType('options.anomaly', 'an object or false', anomaly);
  record('options.anomaly', anomaly, ['factor', 'windowMs']);
  const { factor = 2, windowMs = 300_000 } = anomaly;
  return {
    factor: inRange('options.anomaly.factor', factor, constants.minAnomalyFactor, constants.maxAnomalyFactor),
    windowMs: integer('options.anomaly.windowMs', windowMs, 1, constants.maxWindowMs),
  };
}

/**
 * The `redis` option, checked. `native()` returns the options for Rust; `passwordFunction` is the function that returns
 * the password. The password is in a closure: code that inspects or serializes a limiter cannot reach it.
 *
 * @param {RedisOptions} redis
 */
function redisOptions(redis) {
  record('options.redis', redis, REDIS_KEYS);
  const { url, host, port, username, password, database, tls, cluster, connections, connectTimeoutMs } = redis;
  if ((url === undefined) === (host === undefined))
    throw wrongValue('options.redis', 'given a url or a host, one of the two');
  if (url !== undefined && port !== undefined) throw wrongValue('options.redis.port', 'left out: the url has it');
  const tokenUser = usernameOf(password);
  /** @type {NativeRedisOptions} */
  const native = {
    // Rust also reads the properties of a prototype: `ca` on a polluted Object.prototype would be trusted.
    __proto__: null,
    url: optional(text, 'url', url, { max: MAX_URL_LENGTH }),
    host: optional(hostName, 'host', host),
    port: optional(integer, 'port', port, 1, 65_535),
    username: optional(userName, 'username', username),
    ...passwordOptions(password),
    database: optional(integer, 'database', database, 0, 65_535),
    ...tlsOptions(tokenUser === undefined ? tls : tlsForTokens(tls)),
    cluster: optional(boolean, 'cluster', cluster),
    connections: optional(integer, 'connections', connections, 1, constants.maxConnections),
    connectTimeoutMs: optional(integer, 'connectTimeoutMs', connectTimeoutMs, 1, 60_000),
  };
  const problem = binding.configProblem(native, []);
  if (problem !== null) throw coded(new TypeError(`options.${problem}`), 'ERR_INVALID_ARG_VALUE');
  if (tokenUser !== undefined && (username ?? userOfUrl(url)) !== tokenUser) {
    throw wrongValue('options.redis.username', 'the user whose tokens elastiCacheIam makes for options.redis.password');
  }
  if (typeof password !== 'function') return { native: () => native };
  return { native: () => native, passwordFunction: password, inContext: contextOfNow() };
}

/**
 * @template T
 * @template {unknown[]} B
 * @param {(argument: string, value: T, ...bounds: B) => T} check
 * @param {string} name
 * @param {T | undefined} value
 * @param {B} bounds
 */
function optional(check, name, value, ...bounds) {
  return value === undefined ? undefined : check(`options.redis.${name}`, value, ...bounds);
}

/** @type {(argument: string, host: string) => string} */
function hostName(argument, host) {
  if (/[/@]/.test(text(argument, host, { max: MAX_HOST_LENGTH })))
    throw wrongValue(argument, 'a host name alone; a URL goes into options.redis.url');
  // An IPv6 address has two colons or more.
  if (host.split(':').length === 2)
    throw wrongValue(argument, 'a host name alone; the port goes into options.redis.port');
  return host;
}

/**
 * The user in a valid URL.
 *
 * @param {string | undefined} url
 */
function userOfUrl(url) {
  const username = url && new URL(url).username;
  try {
    return username && decodeURIComponent(username);
  } catch {
    // A `%` that is not part of an escape is literal.
    return username;
  }
}

/** @param {RedisOptions['password']} password */
function passwordOptions(password) {
  const argument = 'options.redis.password';
  if (password === undefined) return { passwordSource: false };
  if (typeof password === 'function') return { passwordSource: true };
  if (typeof password === 'string')
    return { passwordSource: false, passwords: [text(argument, password, PASSWORD_RULE)] };
  if (!Array.isArray(password)) throw wrongType(argument, 'a string, a list of strings or a function', password);
  if (password.length === 0) throw wrongValue(argument, 'a list with at least one string');
  return {
    passwordSource: false,
    passwords: Array.from(password, (one, i) => text(`${argument}[${i}]`, one, PASSWORD_RULE)),
  };
}

/**
 * ElastiCache accepts IAM tokens over TLS only. A token sent in plain text would admit anyone who reads it.
 *
 * @param {RedisOptions['tls']} tls
 */
function tlsForTokens(tls = true) {
  if (tls === false)
    throw wrongValue('options.redis.tls', 'on, or left out: elastiCacheIam makes tokens for TLS alone');
  return tls;
}

/** @param {RedisOptions['tls']} tls */
function tlsOptions(tls) {
  const argument = 'options.redis.tls';
  if (tls === undefined || typeof tls === 'boolean') return { tls };
  if (tls === null || typeof tls !== 'object') throw wrongType(argument, 'true, false, or { ca, servername }', tls);
  const { ca, servername } = record(argument, tls, ['ca', 'servername']);
  return {
    tls: true,
    ca: optional(text, 'tls.ca', ca, { max: MAX_CA_LENGTH }),
    servername: optional(text, 'tls.servername', servername, { max: MAX_HOST_LENGTH }),
  };
}

module.exports = { limiterOptions, creatorOptions };
