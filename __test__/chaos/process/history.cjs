'use strict';
// The decisions of one process, in columns of numbers: each takes 64 bytes outside of the heap, so that the record of a
// run does not look like a leak of the limiter.

const COLUMNS = ['limiter', 'id', 'outcome', 'source', 'moment', 'retryAfterMs', 'calledAt', 'settledAt'];

/** The texts behind the numbers in columns: limiters, ids, sources and codes. */
class Names {
  list = [];
  #numbers = new Map();

  number(text) {
    let number = this.#numbers.get(text);
    if (number === undefined) {
      number = this.list.push(text) - 1;
      this.#numbers.set(text, number);
    }
    return number;
  }
}

class History {
  length = 0;
  #columns = COLUMNS.map(() => new Float64Array(4096));
  names = { limiter: new Names(), id: new Names(), source: new Names() };

  get bytes() {
    return this.#columns.length * this.#columns[0].byteLength;
  }

  /** @param outcome 0 denied, 1 allowed, 2 failed; for a failure, `source` is its code */
  add(limiter, id, outcome, source, moment, retryAfterMs, calledAt, settledAt) {
    if (this.length === this.#columns[0].length) this.#grow();
    const { names, length } = this;
    const row = [
      names.limiter.number(limiter),
      names.id.number(id),
      outcome,
      names.source.number(source),
      moment,
      retryAfterMs,
      calledAt,
      settledAt,
    ];
    for (let i = 0; i < row.length; i++) this.#columns[i][length] = row[i];
    this.length++;
  }

  /** In the form that is sent to the suite. */
  packed() {
    return {
      length: this.length,
      columns: Object.fromEntries(COLUMNS.map((name, i) => [name, this.#columns[i].slice(0, this.length)])),
      names: Object.fromEntries(Object.entries(this.names).map(([name, { list }]) => [name, list])),
    };
  }

  #grow() {
    this.#columns = this.#columns.map((column) => {
      const grown = new Float64Array(2 * column.length);
      grown.set(column);
      return grown;
    });
  }
}

module.exports = { History };
