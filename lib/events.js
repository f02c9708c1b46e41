'use strict';

/** @import { Anomaly, StoreStateChange } from '../index.d.ts' */
/** @import { CheckedOptions } from './options.js' */

// The machine's timers: a test that has replaced the global ones must not hold a line back, nor find one among its own.
const { clearTimeout, setTimeout } = require('node:timers');
const { binding, constants } = require('./native.js');
const { contextOfNow } = require('./context.js');

const TAG = '[AI Rate Limit]';

/** What becomes of an anomaly that nobody listens for: Entry in src/node/anomaly_log.rs. */
const ENTRY = { LOGGED: 0, FIRST: 1 };

const SECOND_MS = 1000;

/** Failures of listeners that are logged in a second: those that come after say the same. */
const MAX_LOGGED_FAILURES = 10;

/**
 * Those who want to hear of what happens to a limiter. With nobody there, the log does.
 *
 * @template T
 */
class Listeners {
  /** @type {Set<{ listener: (event: T) => unknown }>} */
  #listeners = new Set();
  /** @type {Set<(listened: boolean) => void>} */
  #subscribers = new Set();
  #kind;
  /** Since when they are counted. */
  #failures = { since: -Infinity, count: 0 };

  /** @param {string} kind What one of them is called in the log. */
  constructor(kind) {
    this.#kind = kind;
  }

  /**
   * Adds a listener and returns what removes it.
   *
   * @param {(event: T) => unknown} listener
   */
  add(listener) {
    // Its own object: the same function added twice is two listeners, and each is removed by its own return value.
    const inContext = contextOfNow();
    const entry = { listener: (/** @type {T} */ event) => inContext(() => listener(event)) };
    this.#listeners.add(entry);
    this.#changed();
    return () => {
      this.#listeners.delete(entry);
      this.#changed();
    };
  }

  get isEmpty() {
    return this.#listeners.size === 0;
  }

  /**
   * Calls `subscriber` now, and after each change, with whether anybody listens. Returns what ends that.
   *
   * @param {(listened: boolean) => void} subscriber
   */
  subscribe(subscriber) {
    this.#subscribers.add(subscriber);
    subscriber(!this.isEmpty);
    return () => void this.#subscribers.delete(subscriber);
  }

  /**
   * Tells everyone, and returns whether there was anyone. What a listener throws, or its promise rejects with, stops here.
   *
   * @param {T} event
   */
  emit(event) {
    if (this.isEmpty) return false;
    for (const { listener } of [...this.#listeners]) {
      try {
        const result = /** @type {PromiseLike<unknown> | undefined} */ (listener(event));
        if (typeof result?.then === 'function') result.then(undefined, this.#failed);
      } catch (error) {
        this.#failed(error);
      }
    }
    return true;
  }

  #changed() {
    for (const subscriber of this.#subscribers) subscriber(!this.isEmpty);
  }

  #failed = (/** @type {unknown} */ error) => {
    const now = performance.now();
    if (now - this.#failures.since >= SECOND_MS) this.#failures = { since: now, count: 0 };
    // One that fails each time must not flood the log either.
    if (this.#failures.count++ < MAX_LOGGED_FAILURES) warn(`${this.#kind} failed`, error);
  };
}

/**
 * Logs an anomaly that nobody listens for, if it is one of those that are logged.
 *
 * @param {Anomaly} anomaly
 * @param {boolean} logged Whether that is known already: else a listener was to hear of it, and has gone.
 */
function logAnomaly(anomaly, logged) {
  const entry = logged ? ENTRY.LOGGED : binding.enterAnomaly();
  if (entry === ENTRY.LOGGED) {
    warn('Anomaly detected', onOneLine({ ...anomaly, creatorId: binding.escapeId(anomaly.creatorId) }));
  } else if (entry === ENTRY.FIRST) {
    scheduleLogRemaining();
  }
}

/** @type {NodeJS.Timeout | undefined} */
let timer;

/** Logs in a second how many anomalies have no line. Nothing waits for that: what ends the process ends it, too. */
function scheduleLogRemaining(waitMs = SECOND_MS) {
  timer ??= setTimeout(logRemaining, waitMs).unref();
}

/** Logs how many anomalies of the process have no line: once a second at most. */
function logRemaining() {
  clearTimeout(timer);
  timer = undefined;
  const [more, waitMs] = binding.moreAnomalies();
  if (more > 0) warn(`${more} more ${more === 1 ? 'anomaly' : 'anomalies'} detected`);
  if (waitMs > 0) scheduleLogRemaining(waitMs);
}

/**
 * @param {CheckedOptions} options
 * @param {string} code
 * @param {string} shard Empty: not known.
 * @returns {StoreStateChange}
 */
function awayChange({ name, onStoreError }, code, shard) {
  const policy = constants.storeErrorPolicies[onStoreError];
  return { state: 'away', limiter: name, policy, code, ...(shard === '' ? {} : { shard }) };
}

/**
 * @param {CheckedOptions} options
 * @param {number} durationMs
 * @param {number} decided
 * @returns {StoreStateChange}
 */
function backChange({ name, onStoreError }, durationMs, decided) {
  return { state: 'back', limiter: name, policy: constants.storeErrorPolicies[onStoreError], durationMs, decided };
}

/**
 * The line for a change that nobody listens for.
 *
 * @param {StoreStateChange} change
 */
function logStoreState({ state, limiter, policy, code, shard, durationMs = 0, decided }) {
  if (state === 'away') {
    const at = shard === undefined ? '' : ` at ${shard}`;
    warn(`Redis is away for limiter '${limiter}' (${code}${at}): onStoreError '${policy}' decides until it is back`);
    return;
  }
  const did = policy === 'throw' ? 'rejected' : 'decided';
  const checks = decided === 1 ? '1 check' : `${decided} checks`;
  const seconds = (durationMs / 1000).toFixed(1);
  warn(
    `Redis is back for limiter '${limiter}' after ${seconds} s: onStoreError '${policy}' ${did} ${checks} meanwhile`,
  );
}

/**
 * Makes a console write it in one line, however long: a log takes each line for an entry of its own.
 *
 * @template {object} T
 * @param {T} details
 * @returns {T}
 */
function onOneLine(details) {
  return Object.defineProperty(details, Symbol.for('nodejs.util.inspect.custom'), {
    /** @type {(depth: number, options: import('node:util').InspectOptions, inspect: typeof import('node:util').inspect) => string} */
    value: (_, options, inspect) => inspect({ ...details }, { ...options, breakLength: Infinity }),
  });
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

module.exports = {
  Listeners,
  logAnomaly,
  logRemaining,
  scheduleLogRemaining,
  awayChange,
  backChange,
  logStoreState,
  warn,
};
