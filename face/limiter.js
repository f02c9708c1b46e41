'use strict';

const { checkLimit, idText, listenerOf } = require('./arguments.js');
const { limiterOptions } = require('./options.js');
const { Session } = require('./session.js');

/** The general limiter: one limit for every id, unless a check brings its own. */
class RateLimiter {
  #limit;
  #session;

  constructor(options) {
    const checked = limiterOptions(options);
    this.#limit = checked.limit;
    this.#session = new Session(checked);
  }

  limit(id, options) {
    try {
      return this.#session.limit(idText(id, 'id'), checkLimit(options, this.#limit), -1);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  check(id, options) {
    try {
      return this.#session.check(idText(id, 'id'), checkLimit(options, this.#limit), -1);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  status(id, options) {
    try {
      return this.#session.status(idText(id, 'id'), checkLimit(options, this.#limit), -1);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  reset(id) {
    try {
      return this.#session.reset(idText(id, 'id'));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  onAnomaly(listener) {
    return this.#session.listeners.add(listenerOf(listener));
  }

  close() {
    return this.#session.close();
  }
}

module.exports = { RateLimiter };
