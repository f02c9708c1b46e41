'use strict';
// Every text that could carry a secret out of this process: of errors, anomalies and inspected objects. The suite looks
// through them, and through standard output and standard error, for the password.

const { inspect } = require('node:util');

/** Enough for one of every kind of error; a fault makes thousands of the same. Anomalies name an id each: they have a room of
 *  their own. */
const MOST = 400;

class LoggedTexts {
  #errors = new Set();
  #values = new Set();

  get texts() {
    return new Set([...this.#errors, ...this.#values]);
  }

  error(error) {
    // The stack, the cause and the symbols are in what inspect says, but for those that are getters.
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
