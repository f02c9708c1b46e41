'use strict';

/** @import * as Public from '../index.d.ts' */

// All errors are created here, in the caller's realm: an error of native code would fail `instanceof Error` under Jest.

/** @typedef {Public.RateLimitError} Denial */

class RateLimitError extends Error {
  /**
   * @param {number} retryAfter
   * @param {number} limit
   * @param {number} remaining
   */
  constructor(retryAfter, limit, remaining) {
    super('Rate limit exceeded');
    // Own and enumerable, like `code` of Node's errors: a copy of the error, or its JSON in a log, has them as well.
    this.name = 'RateLimitError';
    this.code = 'RATE_LIMITED';
    this.retryAfter = retryAfter;
    this.limit = limit;
    this.remaining = remaining;
  }
}
// super() writes the first line of the stack before the error has its own name. Not enumerable, as on all classes of
// errors.
Object.defineProperty(RateLimitError.prototype, 'name', {
  value: 'RateLimitError',
  writable: true,
  configurable: true,
});

/** With a Retry-After of 0 a client would return before a slot is free. */
const MIN_RETRY_AFTER_MS = 1000;

/**
 * Rounded up: a client that waits that long is never early.
 *
 * @param {number} ms
 */
function wholeSeconds(ms) {
  return Math.ceil(ms / 1000);
}

/** @param {number} ms */
function retryAfterSeconds(ms) {
  return wholeSeconds(Math.max(MIN_RETRY_AFTER_MS, ms));
}

/**
 * The error of a denied check. Its stack has no frames: a denial is ordinary traffic, the stack would show where the answer
 * arrived and not where the check was made, and capturing it takes longer than the rest of a denial.
 *
 * @param {Public.Decision} decision
 * @returns {Denial}
 */
function denial(decision) {
  return withoutStack(() => {
    /** @type {RateLimitError & { decision?: Public.Decision }} */
    const error = new RateLimitError(retryAfterSeconds(decision.retryAfterMs), decision.limit, 0);
    error.decision = decision;
    return /** @type {Denial} */ (error);
  });
}

/**
 * @template {Error} E
 * @param {() => E} make
 */
function withoutStack(make) {
  const { stackTraceLimit } = Error;
  limitStack(0);
  const error = make();
  limitStack(stackTraceLimit);
  return error;
}

/** @param {number} frames */
function limitStack(frames) {
  try {
    Error.stackTraceLimit = frames;
  } catch {
    // Frozen, as under `node --frozen-intrinsics`: the error then has a stack.
  }
}

/**
 * An argument of the wrong type.
 *
 * @param {string} argument
 * @param {string} expected
 * @param {unknown} received
 */
function wrongType(argument, expected, received) {
  return coded(new TypeError(`${argument} must be ${expected}. Received ${kindOf(received)}`), 'ERR_INVALID_ARG_TYPE');
}

/**
 * An argument of the right type whose value is not allowed.
 *
 * @param {string} argument
 * @param {string} expected
 */
function wrongValue(argument, expected) {
  return coded(new TypeError(`${argument} must be ${expected}`), 'ERR_INVALID_ARG_VALUE');
}

/**
 * A number or a length outside its range.
 *
 * @param {string} argument
 * @param {string} expected
 */
function outOfRange(argument, expected) {
  return coded(new RangeError(`${argument} must be ${expected}`), 'ERR_OUT_OF_RANGE');
}

/**
 * A callback of the application that returned an invalid value.
 *
 * @param {string} argument
 * @param {string} expected
 * @param {unknown} received
 */
function wrongReturn(argument, expected, received) {
  const error = new TypeError(`${argument} must return ${expected}. Received ${kindOf(received)}`);
  return markSafe(coded(error, 'ERR_INVALID_RETURN_VALUE'));
}

/**
 * A configuration that cannot work, or that was set too late.
 *
 * @param {string} message
 */
function configError(message) {
  return markSafe(coded(new Error(message), 'ERR_RATE_LIMIT_CONFIG'));
}

/**
 * A function of the application, or a service, did not answer in time.
 *
 * @param {string} message
 */
function timedOut(message) {
  return markSafe(coded(new Error(message), 'ETIMEDOUT'));
}

// Errors whose messages consist of texts of this package only.
/** @type {WeakSet<object>} */
const safeToDisclose = new WeakSet();

/**
 * @template {Error} E
 * @param {E} error
 */
function markSafe(error) {
  safeToDisclose.add(error);
  return error;
}

/**
 * The message of an error of this package that cannot contain a secret. Undefined for any other error.
 *
 * @param {Error} error
 */
function disclosableMessage(error) {
  return safeToDisclose.has(error) ? error.message : undefined;
}

/**
 * The store reached no decision, and no fallback makes one. `causes` are the messages of the cause, of its cause, and
 * so on. No frames, as for a denial: while Redis is away, each request may fail like this.
 *
 * @param {string} code
 * @param {string} message
 * @param {readonly string[]} causes
 */
function storeError(code, message, causes) {
  return withoutStack(() => {
    const cause = causes.reduceRight(
      (inner, message) => new Error(message, inner && { cause: inner }),
      /** @type {Error | undefined} */ (undefined),
    );
    return coded(new Error(`The rate limit could not be checked: ${message}`, cause && { cause }), code);
  });
}

/**
 * @template {NodeJS.ErrnoException} E
 * @param {E} error
 * @param {string} code
 */
function coded(error, code) {
  error.code = code;
  return error;
}

/**
 * The type of a value. The value itself stays out of messages: it may be an id or a secret.
 *
 * @param {unknown} value
 */
function kindOf(value) {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  return `type ${typeof value}`;
}

module.exports = {
  RateLimitError: /** @type {typeof Public.RateLimitError} */ (RateLimitError),
  denial,
  MIN_RETRY_AFTER_MS,
  retryAfterSeconds,
  wholeSeconds,
  wrongType,
  wrongValue,
  outOfRange,
  wrongReturn,
  configError,
  timedOut,
  disclosableMessage,
  storeError,
  coded,
};
