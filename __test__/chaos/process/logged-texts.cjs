'use strict';
// Every text that could carry a secret out of this process: errors, anomalies and inspected objects. The suite searches
// them, and standard output and standard error, for the password.

const { inspect } = require('node:util');

/**
 * Enough for one of every kind of error; a fault makes thousands of the same. Each anomaly names an id, so anomalies
 * have their own bound.
 */
const MOST = 400;

class LoggedTexts {
  #errors = new Set();
  #values = new Set();

  get texts() {
    return new Set([...this.#errors, ...this.#values]);
  }

  error(error) {
    // The stack, the cause and the symbols are in the inspected text, unless they are getters.
    this.#add(this.#errors, error?.message, error?.stack, error?.code, error?.cause, error);
  }

  value(value) {
    this.#add(this.#values, value);
  }

  #add(texts, ...values) {
    for (const value of values) {
      if (texts.size >= MOST) return;
      if (value === undefined) continue;
      texts.add(typeof value === 'string' ? value : inspect(value, { depth: null, showHidden: true, getters: true }));
      if (typeof value === 'object') texts.add(json(value));
    }
  }
}

function json(value) {
  try {
    return JSON.stringify(value) ?? '';
  } catch (error) {
    return error.message;
  }
}

module.exports = { LoggedTexts };
