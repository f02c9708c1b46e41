'use strict';

/** @import { CreatorPlan } from '../index.d.ts' */

const { binding, constants } = require('./native.js');
const { PLANS } = require('./plans.js');
const { outOfRange, wrongType, wrongValue } = require('./errors.js');

/**
 * The text of an id; 7 and '7' are the same.
 *
 * @param {unknown} id
 * @param {string} argument
 */
function idText(id, argument) {
  if (typeof id === 'number') {
    if (!Number.isSafeInteger(id) || id < 0) throw outOfRange(argument, 'a whole number from 0 to 2^53 - 1');
    // String(-0) is '0'.
    return String(id);
  }
  if (typeof id !== 'string') throw wrongType(argument, 'a string or a number', id);
  // A UTF-16 unit is one to three UTF-8 bytes: the length alone accepts most ids, and rejects long ones without reading
  // them.
  const { length } = id;
  if (length === 0 || length > constants.maxIdBytes || (length * 3 > constants.maxIdBytes && isTooLong(id))) {
    throw outOfRange(argument, `1 to ${constants.maxIdBytes} UTF-8 bytes long`);
  }
  if (!id.isWellFormed()) throw wrongValue(argument, 'well-formed Unicode, without a lone surrogate');
  return id;
}

/** @param {string} id */
function isTooLong(id) {
  return Buffer.byteLength(id) > constants.maxIdBytes;
}

/**
 * The number of a plan.
 *
 * @param {unknown} plan
 */
function planNumber(plan) {
  const number = typeof plan === 'string' ? PLANS.indexOf(/** @type {CreatorPlan} */ (plan)) : -1;
  if (number < 0) {
    // Slicing a string made of parts reads all of it: a long one stays out of the message.
    const isShort = typeof plan === 'string' && plan.length <= 256;
    const received = isShort ? ` Received '${binding.escapeId(plan.slice(0, 32).toWellFormed())}'` : '';
    throw wrongValue('plan', `one of ${PLANS.map((name) => `'${name}'`).join(', ')}.${received}`);
  }
  return number;
}

/**
 * A name used in keys, structured fields and labels without escaping.
 *
 * @param {string} argument
 * @param {unknown} value
 */
function plainName(argument, value) {
  return text(argument, value, {
    // Other characters would need escaping, and an escaped name could equal another name.
    pattern: /^[A-Za-z0-9._-]+$/,
    max: 64,
    expected: "1 to 64 letters, digits, '.', '_' or '-'",
  });
}

/**
 * The options of a single check.
 *
 * @param {{ limit?: number } | undefined} options
 * @param {number} defaultLimit
 */
function checkLimit(options, defaultLimit) {
  if (options === undefined) return defaultLimit;
  const { limit = defaultLimit } = record('options', options, ['limit']);
  return integer('options.limit', limit, 1, constants.maxLimit);
}

/** @type {<T>(argument: string, value: T) => T} */
function callable(argument, value) {
  if (typeof value !== 'function') throw wrongType(argument, 'a function', value);
  return value;
}

/**
 * An object whose keys are all known.
 *
 * @template T
 * @param {string} argument
 * @param {T} value
 * @param {readonly string[]} known
 */
function record(argument, value, known) {
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    throw wrongType(argument, 'an object', value);
  for (const key of Object.keys(value)) {
    if (!known.includes(key)) {
      const name = binding.escapeId(key.slice(0, 64).toWellFormed());
      throw wrongValue(`${argument}.${name}`, `left out: the options are ${known.join(', ')}`);
    }
  }
  return value;
}

/** @type {(argument: string, value: unknown, min: number, max: number) => number} */
function integer(argument, value, min, max) {
  return inRange(argument, value, min, max, 'a whole number', Number.isInteger);
}

/** @type {(argument: string, value: unknown, min: number, max: number, kind?: string, fits?: typeof Number.isFinite) => number} */
function inRange(argument, value, min, max, kind = 'a number', fits = Number.isFinite) {
  if (typeof value !== 'number') throw wrongType(argument, `${kind} from ${min} to ${max}`, value);
  if (!fits(value) || value < min || value > max) throw outOfRange(argument, `${kind} from ${min} to ${max}`);
  return value;
}

/** @type {(argument: string, value: unknown) => boolean} */
function boolean(argument, value) {
  if (typeof value !== 'boolean') throw wrongType(argument, 'true or false', value);
  return value;
}

/**
 * Before a client has authenticated, Redis rejects longer arguments (networking.c, `processMultibulkBuffer`, since
 * 6.2.6): no longer name or password can be correct.
 */
const MAX_CREDENTIAL_LENGTH = 16_384;

/**
 * The name of a user of Redis: without spaces and NUL (acl.c, `ACLStringHasSpaces`).
 *
 * @type {(argument: string, value: unknown) => string}
 */
function userName(argument, value) {
  return text(argument, value, {
    pattern: /^[^ \t-\r\0]+$/,
    max: MAX_CREDENTIAL_LENGTH,
    expected: `the name of a user of Redis: 1 to ${MAX_CREDENTIAL_LENGTH} characters without spaces`,
  });
}

/**
 * A string of 1 to `max` UTF-16 units that matches `pattern`, if there is one. The length is checked first: a string
 * that is too long is not read.
 *
 * @param {string} argument
 * @param {unknown} value
 * @param {{ max: number, pattern?: RegExp, expected?: string }} rule `expected` goes into the message of the error.
 */
function text(argument, value, { max, pattern, expected = `a string of at most ${max} characters` }) {
  if (typeof value !== 'string') throw wrongType(argument, 'a string', value);
  if (value === '') throw wrongValue(argument, 'a string that is not empty');
  if (value.length > max) throw wrongValue(argument, expected);
  if (!value.isWellFormed()) throw wrongValue(argument, 'well-formed Unicode, without a lone surrogate');
  if (pattern && !pattern.test(value)) throw wrongValue(argument, expected);
  return value;
}

module.exports = {
  idText,
  planNumber,
  plainName,
  checkLimit,
  callable,
  record,
  integer,
  inRange,
  boolean,
  text,
  userName,
  MAX_CREDENTIAL_LENGTH,
};
