'use strict';

const { Listeners, warn } = require('./anomalies.js');
const { border } = require('./border.js');
const { binding, constants } = require('./binding.js');
const { RateLimitError, configError } = require('./errors.js');

// The numbers of the record's fields after kind and slot: src/node/record.rs.
const ALLOWED = 2;
const REMAINING = 3;
const RESET = 4;
const RETRY_AFTER = 5;
const SOURCE = 6;

/** The operations, by their number in src/node/limiter.rs. */
const OP = { CHECK: 0, LIMIT: 1, STATUS: 2, RESET: 3 };

let noticed = false;

/** A limiter from its first request to its close; then the next request opens it afresh. */
class Session {
  /** Those who hear of its anomalies; they stay over a close. */
  listeners = new Listeners();
  #options;
  #open = null;
  #closing = Promise.resolve();

  constructor(options) {
    this.#options = options;
  }

  /** Resolves when allowed, rejects with RateLimitError when not. */
  check(id, limit, plan) {
    return this.#ask(OP.CHECK, id, limit, plan, (mailbox, at, resolve, reject) => {
      if (mailbox[at + ALLOWED] === 1) resolve();
      else reject(new RateLimitError(Math.max(1, Math.ceil(mailbox[at + RETRY_AFTER] / 1000)), limit, 0));
    });
  }

  /** Resolves to a Decision. */
  limit(id, limit, plan) {
    return this.#ask(OP.LIMIT, id, limit, plan, (mailbox, at, resolve) => {
      resolve({
        allowed: mailbox[at + ALLOWED] === 1,
        limit,
        remaining: mailbox[at + REMAINING],
        reset: mailbox[at + RESET],
        retryAfterMs: mailbox[at + RETRY_AFTER],
        source: constants.sources[mailbox[at + SOURCE]],
      });
    });
  }

  /** Resolves to a RateLimitStatus. */
  status(id, limit, plan) {
    return this.#ask(OP.STATUS, id, limit, plan, (mailbox, at, resolve) => {
      resolve({ limit, remaining: mailbox[at + REMAINING], reset: mailbox[at + RESET] });
    });
  }

  /** Resolves when the id's log is forgotten. */
  reset(id) {
    return this.#ask(OP.RESET, id, 1, -1, (mailbox, at, resolve) => resolve());
  }

  /** Whether a request has opened it. */
  get isOpen() {
    return this.#open !== null;
  }

  /** Resolves when what was in flight has settled and the connections are dropped. */
  close() {
    const closing = this.#open;
    if (closing !== null) {
      this.#open = null;
      // Who closes while another close waits, waits too.
      const earlier = this.#closing;
      this.#closing = closing.end().then(() => earlier);
    }
    return this.#closing;
  }

  #ask(op, id, limit, plan, settle) {
    this.#open ??= new Open(this.#options, this.listeners);
    return this.#open.ask(op, id, limit, plan, settle);
  }
}

/** One opening of a session: the native limiter and what is in flight through it. */
class Open {
  #native;
  #options;
  #listeners;
  #inFlight = 0;
  #idle = undefined;

  constructor(options, listeners) {
    this.#options = options;
    this.#listeners = listeners;
    const building = process.env.NEXT_PHASE === 'phase-production-build';
    const redis = building ? undefined : options.redis?.native();
    const environment = building ? [] : variables();
    const problem = binding.configProblem(redis, environment);
    if (problem !== null) throw configError(problem);
    const { name, windowMs, anomaly, onStoreError, timeoutMs } = options;
    this.#native = border.open(this, { name, windowMs, anomaly, onStoreError, timeoutMs }, redis, environment);
    if (this.#native.isEmbedded && !building) notice();
  }

  ask(op, id, limit, plan, settle) {
    return border.ask(this, this.#native, op, id, limit, plan, settle);
  }

  started() {
    this.#inFlight++;
  }

  finished() {
    if (--this.#inFlight === 0) this.#idle?.();
  }

  anomaly([creatorId, plan, requests, threshold]) {
    this.#listeners.tell({
      creatorId,
      ...(plan === '' ? {} : { plan }),
      requestsIn5Min: Number(requests),
      threshold: Number(threshold),
      timestamp: new Date().toISOString(),
    });
  }

  askPassword() {
    return this.#options.redis?.askPassword?.();
  }

  async end() {
    if (this.#inFlight > 0) await new Promise((resolve) => (this.#idle = resolve));
    this.#native.close();
  }
}

/** What is set of the variables that say where Redis is, as this realm sees them. */
function variables() {
  const set = [];
  for (const name of constants.variables) {
    const value = process.env[name];
    if (value) set.push([name, value]);
  }
  return set;
}

function notice() {
  if (noticed || process.env.NODE_ENV !== 'production') return;
  noticed = true;
  warn(
    'No Redis is configured: quotas are counted in this process alone. Set REDIS_URL or ELASTICACHE_REDIS_HOST to share them.',
  );
}

module.exports = { Session };
