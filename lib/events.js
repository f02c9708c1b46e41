'use strict';

/** @import { Anomaly, StoreStateChange } from '../index.d.ts' */
/** @import { CheckedOptions } from './options.js' */

// Timers of the module, not the global ones: fake timers of a test must neither delay a log line nor run it.
const { clearTimeout, setTimeout } = require('node:timers');
const { ANOMALY_LOG_ENTRY } = require('./abi.js');
const { binding, constants } = require('./native.js');
const { contextOfNow } = require('./context.js');

const TAG = '[AI Rate Limit]';

const SECOND_MS = 1000;

/** Failures of listeners logged in a second. More of them would repeat the same message. */
const MAX_LOGGED_FAILURES = 10;

/**
 * The listeners of one kind of event of a limiter. Events without a listener are logged by the caller of `emit`.
 *
 * @template T
 */
class Listeners {
  /** @type {Set<{ listener: (event: T) => unknown }>} */
  #listeners = new Set();
  /** @type {Set<(listened: boolean) => void>} */
  #presenceObservers = new Set();
  #kind;
  /** The failures of the current second. */
  #failures = { since: -Infinity, count: 0 };

  /** @param {string} kind The name of such a listener in the log. */
  constructor(kind) {
    this.#kind = kind;
  }

  /**
   * Adds a listener. Returns an unsubscribe function.
   *
   * @param {(event: T) => unknown} listener
   */
  add(listener) {
    // A new object each time: the same function added twice is two listeners, each with its own unsubscribe function.
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
   * Calls `observer` now and after each change with whether there is a listener. Returns an unsubscribe function.
   *
   * @param {(listened: boolean) => void} observer
   */
  observePresence(observer) {
    this.#presenceObservers.add(observer);
    observer(!this.isEmpty);
    return () => void this.#presenceObservers.delete(observer);
  }

  /**
   * Calls all listeners and returns whether there was one. An error that a listener throws, or rejects with, ends here.
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
    for (const observer of this.#presenceObservers) observer(!this.isEmpty);
  }

  #failed = (/** @type {unknown} */ error) => {
    const now = performance.now();
    if (now - this.#failures.since >= SECOND_MS) this.#failures = { since: now, count: 0 };
    // A listener that always fails must not flood the log.
    if (this.#failures.count++ < MAX_LOGGED_FAILURES) warn(`${this.#kind} failed`, error);
  };
}

/**
 * Logs an anomaly without a listener, if the process's limit of lines allows it.
 *
 * @param {Anomaly} anomaly
 * @param {boolean} logged Whether Rust has logged it. If not, a listener has been removed since.
 */
function logAnomaly(anomaly, logged) {
  const entry = logged ? ANOMALY_LOG_ENTRY.LOGGED : binding.recordAnomaly();
  if (entry === ANOMALY_LOG_ENTRY.LOGGED) {
    warn('Anomaly detected', onOneLine({ ...anomaly, creatorId: binding.escapeId(anomaly.creatorId) }));
  } else if (entry === ANOMALY_LOG_ENTRY.FIRST) {
    scheduleLogRemaining();
  }
}

/** @type {NodeJS.Timeout | undefined} */
let timer;

/** Schedules `logRemaining` in a second. The timer does not keep the process alive. */
function scheduleLogRemaining(waitMs = SECOND_MS) {
  timer ??= setTimeout(logRemaining, waitMs).unref();
}

/** Logs how many anomalies of the process have no line of their own: once a second at most. */
function logRemaining() {
  clearTimeout(timer);
  timer = undefined;
  const [more, waitMs] = binding.takeUnloggedAnomalies();
  if (more > 0) warn(`${more} more ${more === 1 ? 'anomaly' : 'anomalies'} detected`);
  if (waitMs > 0) scheduleLogRemaining(waitMs);
}

/**
 * @param {CheckedOptions} options
 * @param {string} code
 * @param {string} shard Empty if unknown.
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
 * Logs a change of the store's state without a listener.
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
 * Makes `console` write the object on one line of any length: log services take each line as an entry.
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
 * Logs a warning if there is a console. Never throws.
 *
 * @param {string} message
 * @param {...unknown} details
 */
function warn(message, ...details) {
  try {
    globalThis.console?.warn(`${TAG} ${message}`, ...details);
  } catch {
    // A console that throws must not fail a request.
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
