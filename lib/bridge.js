'use strict';

/** @import { CompletionBuffer, Environment, NativeLimiter, NativeLimiterOptions } from './addon.d.ts' */
/** @import { NativeRedisOptions, Submit } from './addon.d.ts' */
/** @import { Denial } from './errors.js' */

const { scheduleLogRemaining } = require('./events.js');
const { RECORD_FIELD, RECORD_KIND, RECORD_LENGTH, SUBMIT_RESULT } = require('./abi.js');
const { binding, constants } = require('./native.js');
const { RateLimitError, storeError } = require('./errors.js');

const { PENDING, DECIDED_AND_MORE, REFUSED } = SUBMIT_RESULT;
const { DECIDED, FAILED, ANOMALY, PASSWORD, TESTED } = RECORD_KIND;
const { UNLOGGED_ANOMALIES, STORE_AWAY, STORE_BACK, STILL_AWAY } = RECORD_KIND;
const { KIND, RECIPIENT } = RECORD_FIELD;

/** Records read in one call of Rust: as many as the largest batch has requests. */
const RECORDS = constants.maxBatch;
/**
 * Fetches in one tick of the event loop: some thousand answers, a few milliseconds. Other callbacks must run as well.
 */
const FETCHES = 32;
/** Slots retained for the next burst: with more, all are released once no request is in flight. */
const RETAINED_SLOTS = 1024;

/**
 * The limiter that a request or an event belongs to.
 *
 * @typedef {object} Owner
 * @property {() => void} started
 * @property {() => void} finished
 * @property {(text: string[]) => void} onAnomaly
 * @property {(text: string[]) => void} onStoreAway
 * @property {(text: string[]) => void} onStoreBack
 * @property {(text: string[]) => void} onStillAway
 * @property {(refused: boolean) => ReturnType<typeof import('./credentials/password.js').requestPassword>} requestPassword
 */

/**
 * Reads the record at index `at` of the mailbox.
 *
 * @template T
 * @typedef {(mailbox: Float64Array, at: number, limit: number) => T} ReadRecord
 */

/** A request in flight. */
class Pending {
  /**
   * @param {Owner} owner
   * @param {ReadRecord<unknown>} read
   * @param {number} limit
   * @param {(answer: any) => void} resolve `any`: the answers of different slots have different types.
   * @param {(error: Error) => void} reject
   */
  constructor(owner, read, limit, resolve, reject) {
    this.owner = owner;
    this.read = read;
    this.limit = limit;
    this.resolve = resolve;
    this.reject = reject;
  }
}

/**
 * Connects promises to native code. Each copy of this module has one. A request takes a slot and is passed to Rust as
 * primitives. One wake-up delivers all answers that are ready, as numbers in a mailbox that Rust shares.
 */
class Bridge {
  #mailbox = new Float64Array(RECORDS * RECORD_LENGTH);
  /** @type {CompletionBuffer} */
  #buffer;
  /** @type {() => number} */
  #fetch;
  /** @type {{ bridge: Bridge | undefined }} */
  #strongReference = { bridge: undefined };
  /** @type {(Pending | undefined)[]} */
  #slots = [];
  /** @type {number[]} */
  #free = [];
  #hasLeaked = false;
  #inFlight = 0;
  /** @type {Map<number, WeakRef<Owner>>} */
  #owners = new Map();
  #collected = new FinalizationRegistry((/** @type {number} */ ownerId) => this.#owners.delete(ownerId));
  #lastOwnerId = 0;
  /**
   * A drain runs as a microtask after the current calls. One at most: a flood of anomalies would fill the whole tick.
   */
  #drainScheduled = false;
  #drain = () => {
    this.#drainScheduled = false;
    this.drain();
  };

  constructor() {
    this.#buffer = new binding.CompletionBuffer(this.#mailbox, waker(new WeakRef(this), this.#strongReference));
    this.#fetch = this.#buffer.drainer();
  }

  /**
   * Creates a native limiter. Its anomalies go to `owner.onAnomaly`, and its password comes from
   * `owner.requestPassword`.
   *
   * @param {Owner} owner
   * @param {NativeLimiterOptions} options
   * @param {NativeRedisOptions | undefined} redis
   * @param {Environment} environment
   */
  open(owner, options, redis, environment) {
    const ownerId = (this.#lastOwnerId = (this.#lastOwnerId + 1) >>> 0);
    const native = new binding.NativeLimiter(this.#buffer, ownerId, options, redis, environment);
    this.#owners.set(ownerId, new WeakRef(owner));
    this.#collected.register(owner, ownerId);
    return native;
  }

  /**
   * Submits a request through `submit`, the function of a native limiter of `owner`. `read(mailbox, at, limit)` turns
   * the record of the answer into a value: a RateLimitError rejects the promise, any other value resolves it. If the
   * answer comes later, `owner.started` and `owner.finished` are called.
   *
   * @template T
   * @param {Owner} owner
   * @param {Submit} submit
   * @param {number} kind
   * @param {string} id
   * @param {number} limit
   * @param {ReadRecord<T | Denial>} read
   * @returns {Promise<T>}
   */
  submit(owner, submit, kind, id, limit, read) {
    const slot = this.#nextSlot();
    let outcome;
    try {
      outcome = submit(kind, id, limit, slot);
    } catch (panic) {
      // The request may have been sent already: its answer must not settle the promise of another request.
      this.#leak(slot);
      throw panic;
    }
    if (outcome === PENDING) return this.#wait(owner, slot, limit, read);
    if (outcome === REFUSED) throw new Error('@huntaze/rate-limit: the binary refused a request');
    // Not queueMicrotask: the fake timers of test runners replace it.
    if (outcome === DECIDED_AND_MORE && !this.#drainScheduled) {
      this.#drainScheduled = true;
      void DONE.then(this.#drain);
    }
    const answer = read(this.#mailbox, 0, limit);
    return answer instanceof RateLimitError ? rejectLater(answer) : /** @type {Promise<T>} */ (Promise.resolve(answer));
  }

  /**
   * Writes the denials that `native` answered from its deny cache to the store, where they are counted. Returns a
   * promise that resolves when they are counted, or after the deadline of a check; undefined if there are none.
   *
   * @param {Owner} owner
   * @param {NativeLimiter} native
   * @param {ReadRecord<void>} read
   */
  flush(owner, native, read) {
    return this.#begin(owner, (slot) => native.flush(slot), read);
  }

  /**
   * Tests the connection of `native` to Redis within `budgetMs`. Returns a promise of the report; undefined for the
   * embedded store.
   *
   * @param {Owner} owner
   * @param {NativeLimiter} native
   * @param {number} budgetMs
   * @returns {Promise<string[]> | undefined}
   */
  testConnection(owner, native, budgetMs) {
    return this.#begin(owner, (slot) => native.testConnection(slot, budgetMs));
  }

  /**
   * @template T
   * @param {Owner} owner
   * @param {(slot: number) => boolean} begin
   * @param {ReadRecord<T>} [read] Omitted if the answer is the text of the record.
   * @returns {Promise<T> | undefined}
   */
  #begin(owner, begin, read) {
    const slot = this.#nextSlot();
    let pending;
    try {
      pending = begin(slot);
    } catch (panic) {
      this.#leak(slot);
      throw panic;
    }
    return pending ? this.#wait(owner, slot, 1, /** @type {ReadRecord<T>} */ (read)) : undefined;
  }

  #nextSlot() {
    return this.#free.length > 0 ? this.#free[this.#free.length - 1] : this.#slots.length;
  }

  /**
   * Leaks a slot: no later request may use it.
   *
   * @param {number} slot
   */
  #leak(slot) {
    this.#hasLeaked = true;
    if (slot < this.#slots.length) this.#free.pop();
    else this.#slots.push(undefined);
  }

  /**
   * @template T
   * @param {Owner} owner
   * @param {number} slot
   * @param {number} limit
   * @param {ReadRecord<T | Denial>} read
   * @returns {Promise<T>}
   */
  #wait(owner, slot, limit, read) {
    return new Promise((resolve, reject) => {
      if (slot < this.#slots.length) this.#free.pop();
      this.#slots[slot] = new Pending(owner, read, limit, resolve, reject);
      owner.started();
      // While a check is in flight, this reference keeps the object alive and Rust keeps the process alive. An idle
      // limiter keeps neither.
      if (this.#inFlight++ === 0) this.#strongReference.bridge = this;
    });
  }

  /**
   * Settles answered requests, at most FETCHES * RECORDS of them. The rest is settled in later ticks of the event loop.
   */
  drain() {
    // Listeners and password functions are code of the application and may call this object again: they run after the
    // mailbox has been read.
    /** @type {(() => unknown)[]} */
    const callbacks = [];
    let count = RECORDS;
    for (let fetched = 0; count === RECORDS && fetched < FETCHES; fetched++) {
      count = this.#fetch();
      for (let i = 0; i < count; i++) this.#deliver(i * RECORD_LENGTH, callbacks);
    }
    for (const call of callbacks) call();
    // After the callbacks: a wake-up requested before them could be served in the same tick.
    if (count === RECORDS) this.#buffer.scheduleDrain();
  }

  /**
   * @param {number} at
   * @param {(() => unknown)[]} callbacks
   */
  #deliver(at, callbacks) {
    const kind = this.#mailbox[at + KIND];
    const number = this.#mailbox[at + RECIPIENT];
    if (kind === DECIDED) {
      const request = this.#release(number);
      if (request === undefined) return;
      const { owner, read, limit, resolve, reject } = request;
      const answer = read(this.#mailbox, at, limit);
      if (answer instanceof RateLimitError) reject(answer);
      else resolve(answer);
      owner.finished();
      return;
    }
    const text = this.#buffer.takeText();
    if (kind === FAILED) {
      const request = this.#release(number);
      if (request === undefined) return;
      const [code, message, ...causes] = text;
      request.reject(storeError(code, message, causes));
      request.owner.finished();
      return;
    }
    if (kind === TESTED) {
      const request = this.#release(number);
      if (request === undefined) return;
      request.resolve(text);
      request.owner.finished();
      return;
    }
    const owner = this.#owners.get(number)?.deref();
    if (kind === ANOMALY) callbacks.push(() => owner?.onAnomaly(text));
    if (kind === UNLOGGED_ANOMALIES) callbacks.push(scheduleLogRemaining);
    if (kind === STORE_AWAY) callbacks.push(() => owner?.onStoreAway(text));
    if (kind === STORE_BACK) callbacks.push(() => owner?.onStoreBack(text));
    if (kind === STILL_AWAY) callbacks.push(() => owner?.onStillAway(text));
    if (kind === PASSWORD) callbacks.push(() => this.#answerPassword(owner, Number(text[0]), text[1] === '1'));
  }

  /**
   * Frees a slot and returns its request; undefined for a leaked slot.
   *
   * @param {number} slot
   */
  #release(slot) {
    const request = this.#slots[slot];
    if (request === undefined) return undefined;
    this.#slots[slot] = undefined;
    this.#free.push(slot);
    if (--this.#inFlight === 0) {
      this.#strongReference.bridge = undefined;
      if (this.#slots.length > RETAINED_SLOTS && !this.#hasLeaked) {
        this.#slots = [];
        this.#free = [];
      }
    }
    return request;
  }

  /**
   * @param {Owner | undefined} owner
   * @param {number} requestId
   * @param {boolean} refused
   */
  async #answerPassword(owner, requestId, refused) {
    const { password, reason } = (await owner?.requestPassword(refused)) ?? {};
    this.#buffer.answerPassword(requestId, password, reason);
  }
}

const DONE = Promise.resolve();

/**
 * Rejects in a microtask, when the caller has had time to attach a handler. Without a handler, Node.js reports the
 * rejection as unhandled and revokes the report as soon as a handler is attached: that costs more than the rest of a
 * denial.
 *
 * @param {Error} error
 * @returns {Promise<never>}
 */
function rejectLater(error) {
  return new Promise((_, reject) => void DONE.then(() => reject(error)));
}

/**
 * The function that Rust calls to wake JavaScript. Rust holds it for as long as the completion buffer lives, so it
 * refers to the bridge weakly: otherwise a module that a test runner has discarded could never be collected. While
 * checks are in flight, `strongReference` holds the bridge.
 *
 * @param {WeakRef<Bridge>} bridge
 * @param {{ bridge: Bridge | undefined }} strongReference
 */
function waker(bridge, strongReference) {
  return () => (strongReference.bridge ?? bridge.deref())?.drain();
}

module.exports = { bridge: new Bridge() };
