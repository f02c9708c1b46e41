'use strict';

/** @import { Decision, RateLimitStatus } from '../index.d.ts' */
/** @import { Environment, NativeLimiter, Submit, TopCandidate } from './addon.d.ts' */
/** @import { Owner, ReadRecord } from './bridge.js' */
/** @import { Denial } from './errors.js' */
/** @import { CheckedOptions } from './options.js' */

const { Listeners, awayChange, backChange, logAnomaly, logRemaining, logStoreState, warn } = require('./events.js');
const { OPERATION, isAllowed, requestKind } = require('./abi.js');
const { readDecision, readStatus, readStatusWithSource } = require('./abi.js');
const { bridge } = require('./bridge.js');
const { binding, constants } = require('./native.js');
const { denial, configError } = require('./errors.js');
const { planOfLabel } = require('./plans.js');
const { requestPassword } = require('./credentials/password.js');

const NOT_IN_BUILD = 'Nothing connects while Next.js builds (NEXT_PHASE): ask the running application';
const NOT_CONFIGURED =
  'No Redis is configured: quotas are counted in this process alone. Set REDIS_URL or ELASTICACHE_REDIS_HOST';

let hasWarned = false;

/** @typedef {RateLimitStatus & Pick<Decision, 'source'>} StatusWithSource */

/**
 * The number of an operation in Rust, and the function that reads its answer.
 *
 * @template T
 * @typedef {{ number: number, read: ReadRecord<T | Denial> }} Operation
 */

const operations = {
  /**
   * Resolves when allowed, rejects with RateLimitError when not.
   *
   * @type {Operation<void>}
   */
  check: { number: OPERATION.CHECK, read: readCheck },
  /** @type {Operation<Decision>} */
  limit: { number: OPERATION.LIMIT, read: readDecision },
  /** @type {Operation<RateLimitStatus>} */
  status: { number: OPERATION.STATUS, read: readStatus },
  /** @type {Operation<StatusWithSource>} */
  statusWithSource: { number: OPERATION.STATUS, read: readStatusWithSource },
  /**
   * Resolves when the log of the id is deleted.
   *
   * @type {Operation<void>}
   */
  reset: { number: OPERATION.RESET, read: readNothing },
};

/** The limit of a reset, which has none: the native function takes a valid one. */
const RESET_LIMIT = 1;

/** A limiter that the first request opens. After a close, the next request opens it again. */
class LazyLimiter {
  /** The listeners remain subscribed after a close. */
  listeners = { anomaly: new Listeners('An anomaly listener'), store: new Listeners('A store state listener') };
  /** @type {CheckedOptions} */
  #options;
  /** @type {NativeHandle | null} */
  #handle = null;
  #closing = Promise.resolve();

  /** @param {CheckedOptions} options */
  constructor(options) {
    this.#options = options;
  }

  /**
   * @template T
   * @param {Operation<T>} operation
   * @param {string} id
   * @param {number} limit
   * @param {number} label
   */
  submit(operation, id, limit, label) {
    return (this.#handle ?? this.#start()).submit(requestKind(operation.number, label), id, limit, operation.read);
  }

  /**
   * Tests the connection to Redis within `budgetMs`: see NativeHandle. It does not open the limiter, so `configure` may
   * still be called afterwards.
   *
   * @param {number} budgetMs
   */
  async testConnection(budgetMs) {
    if (this.#handle !== null) return this.#handle.testConnection(budgetMs);
    // No listeners, no log lines: the result says all that was found.
    const handle = new NativeHandle(this.#options, undefined);
    try {
      return await handle.testConnection(budgetMs);
    } finally {
      await handle.close();
    }
  }

  /**
   * Up to `count` of the ids with the most requests since the limiter was opened.
   *
   * @param {number} count
   * @returns {TopCandidate[]}
   */
  topCandidates(count) {
    return this.#handle?.topCandidates(count) ?? [];
  }

  /** Whether a request has opened it. */
  get isOpen() {
    return this.#handle !== null;
  }

  /** Resolves when all requests in flight are settled and the connections are closed. */
  close() {
    const closing = this.#handle;
    if (closing !== null) {
      this.#handle = null;
      // A close during another close resolves after both.
      const earlier = this.#closing;
      this.#closing = closing.close().then(() => earlier);
    }
    return this.#closing;
  }

  #start() {
    return (this.#handle = new NativeHandle(this.#options, this.listeners));
  }
}

/** @type {ReadRecord<Denial | undefined>} */
function readCheck(mailbox, at, limit) {
  return isAllowed(mailbox, at) ? undefined : denial(readDecision(mailbox, at, limit));
}

function readNothing() {}

/** @typedef {Awaited<ReturnType<NativeHandle['testConnection']>>} ConnectionTestResult */

/**
 * The native limiter from open to close, and the number of its requests in flight.
 *
 * @implements {Owner}
 */
class NativeHandle {
  /** @type {NativeLimiter} */
  #native;
  /** @type {Submit} */
  #submit;
  /** @type {CheckedOptions} */
  #options;
  #isNextBuild = process.env.NEXT_PHASE === 'phase-production-build';
  /** @type {LazyLimiter['listeners'] | undefined} */
  #listeners;
  #unsubscribe = () => {};
  #inFlight = 0;
  /** @type {((nothing: void) => void) | undefined} */
  #onIdle = undefined;

  /**
   * @param {CheckedOptions} options
   * @param {LazyLimiter['listeners'] | undefined} listeners `undefined`: events are neither emitted nor logged.
   */
  constructor(options, listeners) {
    this.#options = options;
    this.#listeners = listeners;
    const isNextBuild = this.#isNextBuild;
    const redis = isNextBuild ? undefined : options.redis?.native();
    const environment = isNextBuild ? [] : redisVariables();
    const problem = binding.configProblem(redis, environment);
    if (problem !== null) throw configError(problem);
    const { name, windowMs, anomaly, onStoreError, timeoutMs, denyCacheMs } = options;
    const limiter = { name, windowMs, anomaly, onStoreError, timeoutMs, denyCacheMs };
    this.#native = bridge.open(this, limiter, redis, environment);
    this.#submit = this.#native.submitter();
    if (this.#native.isEmbedded && !isNextBuild) warnEmbedded();
    if (listeners === undefined) return;
    this.#unsubscribe = listeners.anomaly.observePresence((listened) => this.#native.setHasListener(listened));
  }

  /**
   * @template T
   * @param {number} kind
   * @param {string} id
   * @param {number} limit
   * @param {ReadRecord<T | Denial>} read
   */
  submit(kind, id, limit, read) {
    return bridge.submit(this, this.#submit, kind, id, limit, read);
  }

  /**
   * Resolves to the steps and how long each took, or to an `error`.
   *
   * @param {number} budgetMs
   * @throws Error if no Redis is configured.
   */
  async testConnection(budgetMs) {
    const result = bridge.testConnection(this, this.#native, budgetMs);
    if (result === undefined) throw configError(this.#isNextBuild ? NOT_IN_BUILD : NOT_CONFIGURED);
    const [host, port] = this.#native.endpoint;
    const [code, ...rest] = await result;
    if (code !== '') return { host, port: Number(port), error: { code, message: rest[0], reason: rest[1] } };
    const [version, key, value, ...steps] = rest;
    const [pingMs, setMs, getMs, deleteMs] = steps.map(Number);
    return { host, port: Number(port), version: version || undefined, key, value, pingMs, setMs, getMs, deleteMs };
  }

  /** @param {number} count */
  topCandidates(count) {
    return this.#native.topCandidates(count);
  }

  started() {
    this.#inFlight++;
  }

  finished() {
    if (--this.#inFlight === 0) this.#onIdle?.();
  }

  /** @param {string[]} text */
  onAnomaly([creatorId, label, requests, threshold, logged]) {
    const plan = planOfLabel(Number(label));
    const anomaly = {
      creatorId,
      ...(plan === undefined ? {} : { plan }),
      requestsIn5Min: Number(requests),
      threshold: Number(threshold),
      timestamp: new Date().toISOString(),
    };
    if (!this.#listeners?.anomaly.emit(anomaly)) logAnomaly(anomaly, logged === '1');
  }

  /** @param {string[]} text */
  onStoreAway([code, shard]) {
    if (this.#listeners === undefined) return;
    const change = awayChange(this.#options, code, shard);
    if (this.#listeners.store.emit(change)) this.#native.leaveOutage();
    else if (this.#native.beginOutage(code, shard)) logStoreState(change);
  }

  /**
   * An outage whose log line was held back, and that still lasts.
   *
   * @param {string[]} text
   */
  onStillAway([code, shard]) {
    if (this.#listeners?.store.isEmpty) logStoreState(awayChange(this.#options, code, shard));
  }

  /** @param {string[]} text */
  onStoreBack(text) {
    if (this.#listeners === undefined) return;
    const [durationMs, decided] = text.map(Number);
    const listened = this.#listeners.store.emit(backChange(this.#options, durationMs, decided));
    if (listened) return this.#native.leaveOutage();
    const line = this.#native.endOutage(durationMs, decided);
    if (line !== null) logStoreState(backChange(this.#options, ...line));
  }

  /**
   * Calls the password function. `refused`: the server has rejected the last password.
   *
   * @param {boolean} refused
   */
  requestPassword(refused) {
    const redis = this.#options.redis;
    return requestPassword(redis?.passwordFunction, refused, redis?.inContext);
  }

  async close() {
    if (this.#inFlight > 0) await /** @type {Promise<void>} */ (new Promise((resolve) => (this.#onIdle = resolve)));
    try {
      // No await if there is nothing to flush: the native limiter is then closed by the time close() returns, and the
      // next call opens a new one.
      const counted = bridge.flush(this, this.#native, readNothing);
      if (counted !== undefined) await counted;
    } finally {
      this.#native.close();
      if (this.#listeners !== undefined) await this.#logRemaining();
    }
  }

  /**
   * Logs how many anomalies have no line of their own, unless that was logged within the last second. After the
   * close there may be no timer that logs it.
   */
  async #logRemaining() {
    this.#unsubscribe();
    // Anomalies reported by the preceding calls are delivered in a microtask.
    await Promise.resolve();
    logRemaining();
  }
}

/** The environment variables for Redis that are set, as `process.env` of this realm has them. */
function redisVariables() {
  /** @type {Environment} */
  const set = [];
  for (const name of constants.variables) {
    const value = process.env[name];
    if (value) set.push([name, value]);
  }
  return set;
}

function warnEmbedded() {
  if (hasWarned || process.env.NODE_ENV !== 'production') return;
  hasWarned = true;
  warn(
    'No Redis is configured: quotas are counted in this process alone. Set REDIS_URL or ELASTICACHE_REDIS_HOST to share them.',
  );
}

module.exports = { LazyLimiter, operations, RESET_LIMIT };
