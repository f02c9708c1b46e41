'use strict';
// Every text that could carry a secret out of this process: of errors, anomalies and inspected objects. The suite looks
// through them, and through standard output and standard error, for the password.

const { inspect } = require('node:util');

/** Enough for one of every kind; a fault makes thousands of the same. */
const MOST = 400;

class Utterances {
  texts = new Set();

  error(error) {
    // The stack, the cause and the symbols are in what inspect says, but for those that are getters.
    this.#add(error?.message, error?.stack, error?.code, error?.cause, error);
  }

  value(value) {
    this.#add(value);
  }

  #add(...values) {
    for (const value of values) {
      if (this.texts.size >= MOST) return;
      if (value === undefined) continue;
      this.texts.add(
        typeof value === 'string' ? value : inspect(value, { depth: null, showHidden: true, getters: true }),
      );
      if (typeof value === 'object') this.texts.add(json(value));
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

module.exports = { Utterances };
