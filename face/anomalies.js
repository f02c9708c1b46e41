'use strict';

/** @import { Anomaly } from '../index.d.ts' */

const { binding } = require('./binding.js');
const { contextOfNow } = require('./context.js');

const TAG = '[AI Rate Limit]';

/** Those who want to hear of a limiter's anomalies. With nobody there, the log does. */
class Listeners {
  /** @type {Set<{ listener: (anomaly: Anomaly) => unknown }>} */
  #listeners = new Set();

  /**
   * Adds a listener and returns what removes it.
   *
   * @param {(anomaly: Anomaly) => unknown} listener
   */
  add(listener) {
    // Its own object: the same function added twice is two listeners, and each is removed by its own return value.
    const inContext = contextOfNow();
    const entry = { listener: (/** @type {Anomaly} */ anomaly) => inContext(() => listener(anomaly)) };
    this.#listeners.add(entry);
    return () => {
      this.#listeners.delete(entry);
    };
  }

  /**
   * Tells everyone. What a listener throws, or its promise rejects with, stops here.
   *
   * @param {Anomaly} anomaly
   */
  tell(anomaly) {
    if (this.#listeners.size === 0) {
      warn('Anomaly detected', { ...anomaly, creatorId: binding.escapeId(anomaly.creatorId) });
      return;
    }
    for (const { listener } of [...this.#listeners]) {
      try {
        const result = /** @type {PromiseLike<unknown> | undefined} */ (listener(anomaly));
        if (typeof result?.then === 'function') result.then(undefined, failed);
      } catch (error) {
        failed(error);
      }
    }
  }
}

/** @param {unknown} error */
function failed(error) {
  warn('An anomaly listener failed', error);
}

/**
 * Logs where there is a console; never throws.
 *
 * @param {string} message
 * @param {...unknown} details
 */
function warn(message, ...details) {
  try {
    globalThis.console?.warn(`${TAG} ${message}`, ...details);
  } catch {
    // A console that throws is no reason to fail a request.
  }
}

module.exports = { Listeners, warn };
