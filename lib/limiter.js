'use strict';

/** @import * as Public from '../index.d.ts' */
/** @import { Operation } from './lazy-limiter.js' */

const { callable, checkLimit, idText } = require('./validate.js');
const { limiterOptions } = require('./options.js');
const { metricsOf } = require('./metrics/snapshot.js');
const { LazyLimiter, operations, RESET_LIMIT } = require('./lazy-limiter.js');
const { NO_PLAN } = require('./plans.js');

const RESET_OPTIONS = { limit: RESET_LIMIT };

/** @type {(limiter: object) => number | undefined} */
let windowOf;

/** The general limiter: one limit for all ids, unless a check passes its own. */
class RateLimiter {
  /** @type {string} */
  #name;
  /** @type {number} */
  #limit;
  /** @type {number} */
  #windowMs;
  /** @type {InstanceType<typeof LazyLimiter>} */
  #limiter;

  static {
    // Not a property: only the http module needs it. Undefined for a value that is not a limiter of this copy of the
    // module.
    windowOf = (limiter) => (#windowMs in limiter ? limiter.#windowMs : undefined);
  }

  /** @param {Public.RateLimiterOptions} options */
  constructor(options) {
    const checked = limiterOptions(options);
    this.#name = checked.name;
    this.#limit = checked.limit;
    this.#windowMs = checked.windowMs;
    this.#limiter = new LazyLimiter(checked);
  }

  /** @type {Public.RateLimiter['limit']} */
  limit(id, options) {
    return RateLimiter.#submit(this, operations.limit, id, options);
  }

  /** @type {Public.RateLimiter['check']} */
  check(id, options) {
    return RateLimiter.#submit(this, operations.check, id, options);
  }

  /** @type {Public.RateLimiter['status']} */
  status(id, options) {
    return RateLimiter.#submit(this, operations.status, id, options);
  }

  /** @type {Public.RateLimiter['reset']} */
  reset(id) {
    return RateLimiter.#submit(this, operations.reset, id, RESET_OPTIONS);
  }

  /**
   * Submits a request. An invalid argument rejects the promise, and so does a method that is called without its limiter
   * (`const { check } = limiter`): static, so that the access to the private fields is inside the `try`.
   *
   * @template T
   * @param {RateLimiter} limiter
   * @param {Operation<T>} operation
   * @param {string | number} id
   * @param {{ limit?: number } | undefined} options
   */
  static #submit(limiter, operation, id, options) {
    try {
      return limiter.#limiter.submit(operation, idText(id, 'id'), checkLimit(options, limiter.#limit), NO_PLAN);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  getMetrics() {
    return metricsOf(this.#name);
  }

  /** @type {Public.RateLimiter['onAnomaly']} */
  onAnomaly(listener) {
    return this.#limiter.listeners.anomaly.add(callable('listener', listener));
  }

  /** @type {Public.RateLimiter['onStoreStateChange']} */
  onStoreStateChange(listener) {
    return this.#limiter.listeners.store.add(callable('listener', listener));
  }

  close() {
    return this.#limiter.close();
  }
}

module.exports = { RateLimiter, windowOf };
