'use strict';

/** @import { CreatorPlan } from '../index.d.ts' */

const { binding, constants } = require('./binding.js');
const { outOfRange, wrongType, wrongValue } = require('./errors.js');

/**
 * The text of an id; 7 and '7' are the same.
 *
 * @param {unknown} id
 * @param {string} what
 */
function idText(id, what) {
  if (typeof id === 'number') {
    if (!Number.isSafeInteger(id) || id < 0) throw outOfRange(what, 'a whole number from 0 to 2^53 - 1');
    // Unlike `${-0}` spelled out: -0 is 0.
    return String(id);
  }
  if (typeof id !== 'string') throw wrongType(what, 'a string or a number', id);
  // A UTF-16 unit is one to three UTF-8 bytes: most ids need no counting.
  const bytes = id.length * 3 <= constants.maxIdBytes ? id.length : Buffer.byteLength(id);
  if (bytes === 0 || bytes > constants.maxIdBytes) {
    throw outOfRange(what, `1 to ${constants.maxIdBytes} UTF-8 bytes long`);
  }
  if (!id.isWellFormed()) throw wrongValue(what, 'well-formed Unicode, without a lone surrogate');
  return id;
}

/**
 * The number of a plan.
 *
 * @param {unknown} plan
 */
function planNumber(plan) {
  const number = typeof plan === 'string' ? constants.plans.indexOf(/** @type {CreatorPlan} */ (plan)) : -1;
  if (number < 0) {
    const received =
      typeof plan === 'string' ? ` Received '${binding.escapeId(plan.slice(0, 32).toWellFormed())}'` : '';
    throw wrongValue('plan', `one of ${constants.plans.map((name) => `'${name}'`).join(', ')}.${received}`);
  }
  return number;
}

/**
 * A name that goes into keys, fields and labels as it is.
 *
 * @param {string} what
 * @param {unknown} value
 */
function plainName(what, value) {
  const name = text(what, value);
  // Anything else would need escaping there, and could then be mistaken for another name.
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(name)) throw wrongValue(what, "1 to 64 letters, digits, '.', '_' or '-'");
  return name;
}

/**
 * The options of a single check.
 *
 * @param {{ limit?: number } | undefined} options
 * @param {number} otherwise
 */
function checkLimit(options, otherwise) {
  if (options === undefined) return otherwise;
  const { limit = otherwise } = record('options', options, ['limit']);
  return integer('options.limit', limit, 1, constants.maxLimit);
}

/** @type {<T>(what: string, value: T) => T} */
function callable(what, value) {
  if (typeof value !== 'function') throw wrongType(what, 'a function', value);
  return value;
}

/**
 * An object with no keys but the known ones.
 *
 * @template T
 * @param {string} what
 * @param {T} value
 * @param {readonly string[]} known
 */
function record(what, value, known) {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw wrongType(what, 'an object', value);
  for (const key of Object.keys(value)) {
    if (!known.includes(key)) {
      const name = binding.escapeId(key.slice(0, 64).toWellFormed());
      throw wrongValue(`${what}.${name}`, `left out: the options are ${known.join(', ')}`);
    }
  }
  return value;
}

/** @type {(what: string, value: unknown, min: number, max: number) => number} */
function integer(what, value, min, max) {
  return inRange(what, value, min, max, 'a whole number', Number.isInteger);
}

/** @type {(what: string, value: unknown, min: number, max: number, kind?: string, fits?: typeof Number.isFinite) => number} */
function inRange(what, value, min, max, kind = 'a number', fits = Number.isFinite) {
  if (typeof value !== 'number') throw wrongType(what, `${kind} from ${min} to ${max}`, value);
  if (!fits(value) || value < min || value > max) throw outOfRange(what, `${kind} from ${min} to ${max}`);
  return value;
}

/** @type {(what: string, value: unknown) => boolean} */
function boolean(what, value) {
  if (typeof value !== 'boolean') throw wrongType(what, 'true or false', value);
  return value;
}

/** @type {(what: string, value: unknown) => string} */
function text(what, value) {
  if (typeof value !== 'string') throw wrongType(what, 'a string', value);
  if (value === '') throw wrongValue(what, 'a string that is not empty');
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
};
