'use strict';

const { binding, constants } = require('./binding.js');
const { storeError } = require('./errors.js');

// The numbers that Rust uses too: src/node/limiter.rs and src/node/record.rs.
const PENDING = 0;
const DECIDED_AND_MORE = 2;
const KIND = { DECIDED: 0, FAILED: 1, ANOMALY: 2, PASSWORD: 3 };

const FIELDS = constants.recordFields;
/** Records fetched in one call: as many as the largest batch has requests. */
const RECORDS = 64;

/**
 * The border between promises and native code, one for each copy of this module. A request takes a slot and crosses as
 * primitives; the answers that have gathered come back in one wake-up, as numbers in a mailbox shared with Rust.
 */
class Border {
  #mailbox = new Float64Array(RECORDS * FIELDS);
  #buffer;
  #anchor = { border: undefined };
  #slots = [];
  #free = [];
  #inFlight = 0;
  #owners = new Map();
  #forget = new FinalizationRegistry((number) => this.#owners.delete(number));
  #lastNumber = 0;
  #drain = () => this.drain();

  constructor() {
    this.#buffer = new binding.CompletionBuffer(this.#mailbox, waker(new WeakRef(this), this.#anchor));
  }

  /** A native limiter for `owner`, who is told of its anomalies (`onAnomaly`) and asked for its password. */
  open(owner, options, redis, environment) {
    const number = (this.#lastNumber = (this.#lastNumber + 1) >>> 0);
    const native = new binding.NativeLimiter(this.#buffer, number, options, redis, environment);
    this.#owners.set(number, new WeakRef(owner));
    this.#forget.register(owner, number);
    return native;
  }

  /**
   * Asks `native` for `owner` and gives the answer to `settle(mailbox, at, resolve, reject)`, which reads the record at
   * `at`. Where the answer comes later, the owner's `started` and `finished` are called.
   */
  ask(owner, native, op, id, limit, plan, settle) {
    const slot = this.#free.length > 0 ? this.#free[this.#free.length - 1] : this.#slots.length;
    const outcome = native.submit(op, id, limit, plan, slot);
    if (outcome !== PENDING) {
      // Not queueMicrotask: test runners replace that one with a clock of their own.
      if (outcome === DECIDED_AND_MORE) void Promise.resolve().then(this.#drain);
      return new Promise((resolve, reject) => settle(this.#mailbox, 0, resolve, reject));
    }
    return new Promise((resolve, reject) => {
      if (slot < this.#slots.length) this.#free.pop();
      this.#slots[slot] = { owner, settle, resolve, reject };
      owner.started();
      if (this.#inFlight++ === 0) {
        // A check in flight keeps the process, and this object, alive; an idle limiter neither.
        this.#buffer.hold();
        this.#anchor.border = this;
      }
    });
  }

  /** Settles everything that has been answered. */
  drain() {
    // Listeners and password functions are the application's code, and may call back into this object: they run when
    // the mailbox has been read.
    const later = [];
    let count;
    do {
      count = this.#buffer.drain();
      for (let i = 0; i < count; i++) this.#deliver(i * FIELDS, later);
    } while (count === RECORDS);
    for (const call of later) call();
  }

  #deliver(at, later) {
    const [kind, number] = [this.#mailbox[at], this.#mailbox[at + 1]];
    if (kind === KIND.DECIDED) {
      const { owner, settle, resolve, reject } = this.#release(number);
      settle(this.#mailbox, at, resolve, reject);
      owner.finished();
      return;
    }
    const text = this.#buffer.takeText();
    if (kind === KIND.FAILED) {
      const { owner, reject } = this.#release(number);
      reject(storeError(text[0], text[1]));
      owner.finished();
      return;
    }
    const owner = this.#owners.get(number)?.deref();
    if (kind === KIND.ANOMALY) later.push(() => owner?.anomaly(text));
    if (kind === KIND.PASSWORD) later.push(() => this.#answerPassword(owner, Number(text[0])));
  }

  #release(slot) {
    const request = this.#slots[slot];
    this.#slots[slot] = undefined;
    this.#free.push(slot);
    if (--this.#inFlight === 0) {
      this.#buffer.release();
      this.#anchor.border = undefined;
      // After a burst the arrays go back to nothing.
      this.#slots = [];
      this.#free = [];
    }
    return request;
  }

  async #answerPassword(owner, ticket) {
    let password = null;
    try {
      const given = await owner?.askPassword?.();
      if (typeof given === 'string' && given !== '') password = given;
    } catch {
      // The connect fails with NOAUTH, and its message says that the function gave none. The reason may hold a secret.
    }
    this.#buffer.answerPassword(ticket, password);
  }
}

/**
 * What Rust calls. Rust holds it for as long as it holds anything of the border, so it must not hold the border: a module
 * that a test runner has discarded could never be collected. While checks are in flight the anchor does.
 */
function waker(border, anchor) {
  return () => (anchor.border ?? border.deref())?.drain();
}

module.exports = { border: new Border() };
