'use strict';

const { binding } = require('./binding.js');

const TAG = '[AI Rate Limit]';

/** Those who want to hear of a limiter's anomalies. With nobody there, the log does. */
class Listeners {
  #listeners = new Set();

  /** Adds a listener and returns what removes it. */
  add(listener) {
    // Its own object: the same function added twice is two listeners, and each is removed by its own return value.
    const entry = { listener };
    this.#listeners.add(entry);
    return () => {
      this.#listeners.delete(entry);
    };
  }

  /** Tells everyone. What a listener throws, or its promise rejects with, stops here. */
  tell(anomaly) {
    if (this.#listeners.size === 0) {
      warn('Anomaly detected', { ...anomaly, creatorId: binding.escapeId(anomaly.creatorId) });
      return;
    }
    for (const { listener } of [...this.#listeners]) {
      try {
        const result = listener(anomaly);
        if (typeof result?.then === 'function') result.then(undefined, failed);
      } catch (error) {
        failed(error);
      }
    }
  }
}

function failed(error) {
  warn('An anomaly listener failed', error);
}

/** Logs where there is a console; never throws. */
function warn(message, ...details) {
  try {
    globalThis.console?.warn(`${TAG} ${message}`, ...details);
  } catch {
    // A console that throws is no reason to fail a request.
  }
}

module.exports = { Listeners, warn };
