'use strict';

/** @import { CreatorPlan, Decision, RateLimitStatus } from '../index.d.ts' */
/** @import { Environment, NativeLimiter, Submit, TopAsker } from './addon.d.ts' */
/** @import { Owner, Read } from './bridge.js' */
/** @import { Denial } from './errors.js' */
/** @import { CheckedOptions } from './options.js' */

const { Listeners, logAnomaly, logMore, warn } = require('./anomaly-events.js');
const { border } = require('./bridge.js');
const { binding, constants } = require('./native.js');
const { denial, configError } = require('./errors.js');
const { passwordOf } = require('./credentials/password.js');
const { awayChange, backChange, logStoreState } = require('./store-state.js');

// The numbers of the record's fields after kind and slot: src/node/record.rs.
const ALLOWED = 2;
const REMAINING = 3;
const RESET = 4;
const RESET_AFTER = 5;
const RETRY_AFTER = 6;
const SOURCE = 7;

const SOURCES = constants.sources;

/** The operations, by their number in src/node/desk.rs. */
const OP = { CHECK: 0, LIMIT: 1, STATUS: 2, RESET: 3 };

const BUILDING = 'Nothing connects while Next.js builds (NEXT_PHASE): ask the running application';
const EMBEDDED =
  'No Redis is configured: quotas are counted in this process alone. Set REDIS_URL or ELASTICACHE_REDIS_HOST';

let noticed = false;

/** @typedef {RateLimitStatus & Pick<Decision, 'source'>} Standing */

/**
 * @template T
 * @typedef {(id: string, limit: number, plan: number) => Promise<T>} Ask
 */

/** A limiter from its first request to its close; then the next request opens it afresh. */
class Session {
  /** Those who hear of its anomalies, and of its store; they stay over a close. */
  listeners = { anomaly: new Listeners('An anomaly listener'), store: new Listeners('A store state listener') };
  /** @type {CheckedOptions} */
  #options;
  /** @type {Open | null} */
  #open = null;
  #closing = Promise.resolve();

  /** @param {CheckedOptions} options */
  constructor(options) {
    this.#options = options;
  }

  /**
   * Resolves when allowed, rejects with RateLimitError when not.
   *
   * @type {Ask<void>}
   */
  check(id, limit, plan) {
    return (this.#open ?? this.#start()).ask(OP.CHECK + kindOf(plan), id, limit, readCheck);
  }

  /** @type {Ask<Decision>} */
  limit(id, limit, plan) {
    return (this.#open ?? this.#start()).ask(OP.LIMIT + kindOf(plan), id, limit, readDecision);
  }

  /** @type {Ask<RateLimitStatus>} */
  status(id, limit, plan) {
    return (this.#open ?? this.#start()).ask(OP.STATUS + kindOf(plan), id, limit, readStatus);
  }

  /**
   * Resolves when the id's log is forgotten.
   *
   * @param {string} id
   */
  reset(id) {
    return (this.#open ?? this.#start()).ask(OP.RESET, id, 1, readNothing);
  }

  /**
   * Where the id stands, and who says so.
   *
   * @type {Ask<Standing>}
   */
  standing(id, limit, plan) {
    return (this.#open ?? this.#start()).ask(OP.STATUS + kindOf(plan), id, limit, readStanding);
  }

  /**
   * Tries out the way to Redis, within `budgetMs`: see Open. It is no request: the options may still be changed after.
   *
   * @param {number} budgetMs
   */
  async tryConnection(budgetMs) {
    if (this.#open !== null) return this.#open.tryConnection(budgetMs);
    // Nobody hears of it: what it finds out is its answer.
    const open = new Open(this.#options, undefined);
    try {
      return await open.tryConnection(budgetMs);
    } finally {
      await open.end();
    }
  }

  /**
   * Up to `count` of those who ask most, by what has been asked since it was opened.
   *
   * @param {number} count
   * @returns {TopAsker[]}
   */
  top(count) {
    return this.#open?.top(count) ?? [];
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

  #start() {
    return (this.#open = new Open(this.#options, this.listeners));
  }
}

/**
 * What of a request's kind is the plan: its number from 0, or -1 for none.
 *
 * @param {number} plan
 */
function kindOf(plan) {
  return 4 * (plan + 1);
}

// What an answer is made of the record at `at` of the mailbox.

/** @type {Read<Denial | undefined>} */
function readCheck(mailbox, at, limit) {
  if (mailbox[at + ALLOWED] === 1) return undefined;
  return denial(Math.max(1, Math.ceil(mailbox[at + RETRY_AFTER] / 1000)), readDecision(mailbox, at, limit));
}

/** @type {Read<Decision>} */
function readDecision(mailbox, at, limit) {
  return {
    allowed: mailbox[at + ALLOWED] === 1,
    limit,
    remaining: mailbox[at + REMAINING],
    reset: mailbox[at + RESET],
    resetAfterMs: mailbox[at + RESET_AFTER],
    retryAfterMs: mailbox[at + RETRY_AFTER],
    source: SOURCES[mailbox[at + SOURCE]],
  };
}

/** @type {Read<RateLimitStatus>} */
function readStatus(mailbox, at, limit) {
  return { limit, remaining: mailbox[at + REMAINING], reset: mailbox[at + RESET] };
}

/** @type {Read<Standing>} */
function readStanding(mailbox, at, limit) {
  return { ...readStatus(mailbox, at, limit), source: SOURCES[mailbox[at + SOURCE]] };
}

function readNothing() {}

/** @typedef {Awaited<ReturnType<Open['tryConnection']>>} Trial */

/**
 * One opening of a session: the native limiter and what is in flight through it.
 *
 * @implements {Owner}
 */
class Open {
  /** @type {NativeLimiter} */
  #native;
  /** @type {Submit} */
  #submit;
  /** @type {CheckedOptions} */
  #options;
  #building = process.env.NEXT_PHASE === 'phase-production-build';
  /** @type {Session['listeners'] | undefined} */
  #listeners;
  #unfollow = () => {};
  #inFlight = 0;
  /** @type {((nothing: void) => void) | undefined} */
  #idle = undefined;

  /**
   * @param {CheckedOptions} options
   * @param {Session['listeners'] | undefined} listeners `undefined`: nobody hears of it, nor does the log.
   */
  constructor(options, listeners) {
    this.#options = options;
    this.#listeners = listeners;
    const building = this.#building;
    const redis = building ? undefined : options.redis?.native();
    const environment = building ? [] : variables();
    const problem = binding.configProblem(redis, environment);
    if (problem !== null) throw configError(problem);
    const { name, windowMs, anomaly, onStoreError, timeoutMs, denyCacheMs } = options;
    const limiter = { name, windowMs, anomaly, onStoreError, timeoutMs, denyCacheMs };
    this.#native = border.open(this, limiter, redis, environment);
    this.#submit = this.#native.submitter();
    if (this.#native.isEmbedded && !building) notice();
    if (listeners === undefined) return;
    this.#unfollow = listeners.anomaly.follow((listened) => this.#native.setListened(listened));
  }

  /**
   * @template T
   * @param {number} kind
   * @param {string} id
   * @param {number} limit
   * @param {Read<T | Denial>} read
   */
  ask(kind, id, limit, read) {
    return border.ask(this, this.#submit, kind, id, limit, read);
  }

  /**
   * Resolves to what was tried and how long it took, with an `error` where it went wrong.
   *
   * @param {number} budgetMs
   * @throws Error where there is no Redis to try.
   */
  async tryConnection(budgetMs) {
    const trial = border.tryOut(this, this.#native, budgetMs);
    if (trial === undefined) throw configError(this.#building ? BUILDING : EMBEDDED);
    const [host, port] = this.#native.place;
    const [code, ...rest] = await trial;
    if (code !== '') return { host, port: Number(port), error: { code, message: rest[0], reason: rest[1] } };
    const [version, key, value, ...steps] = rest;
    const [pingMs, setMs, getMs, deleteMs] = steps.map(Number);
    return { host, port: Number(port), version: version || undefined, key, value, pingMs, setMs, getMs, deleteMs };
  }

  /** @param {number} count */
  top(count) {
    return this.#native.top(count);
  }

  started() {
    this.#inFlight++;
  }

  finished() {
    if (--this.#inFlight === 0) this.#idle?.();
  }

  /** @param {string[]} text */
  anomaly([creatorId, plan, requests, threshold, logged]) {
    const anomaly = {
      creatorId,
      ...(plan === '' ? {} : { plan: /** @type {CreatorPlan} */ (plan) }),
      requestsIn5Min: Number(requests),
      threshold: Number(threshold),
      timestamp: new Date().toISOString(),
    };
    if (!this.#listeners?.anomaly.tell(anomaly)) logAnomaly(anomaly, logged === '1');
  }

  /** @param {string[]} text */
  storeAway([code, shard]) {
    if (this.#listeners === undefined) return;
    const change = awayChange(this.#options, code, shard);
    if (this.#listeners.store.tell(change)) this.#native.logNothing();
    else if (this.#native.logAway(code, shard)) logStoreState(change);
  }

  /**
   * What was held back.
   *
   * @param {string[]} text
   */
  stillAway([code, shard]) {
    if (this.#listeners?.store.isEmpty) logStoreState(awayChange(this.#options, code, shard));
  }

  /** @param {string[]} text */
  storeBack(text) {
    if (this.#listeners === undefined) return;
    const [durationMs, decided] = text.map(Number);
    const heard = this.#listeners.store.tell(backChange(this.#options, durationMs, decided));
    if (heard) return this.#native.logNothing();
    const line = this.#native.logBack(durationMs, decided);
    if (line !== null) logStoreState(backChange(this.#options, ...line));
  }

  /**
   * What the password function gives; `refused`: the server did not take the last one.
   *
   * @param {boolean} refused
   */
  askPassword(refused) {
    const redis = this.#options.redis;
    return passwordOf(redis?.askPassword, refused, redis?.inContext);
  }

  async end() {
    if (this.#inFlight > 0) await /** @type {Promise<void>} */ (new Promise((resolve) => (this.#idle = resolve)));
    try {
      // Where there is nothing to wait for, it is closed when close() returns: the next call starts afresh.
      const counted = border.flush(this, this.#native, readNothing);
      if (counted !== undefined) await counted;
    } finally {
      this.#native.close();
      if (this.#listeners !== undefined) await this.#leave();
    }
  }

  /** Logs how many anomalies have no line, unless that was done a moment ago: later, nobody may be there to do it. */
  async #leave() {
    this.#unfollow();
    // What was reported in the calls before is delivered in a microtask.
    await Promise.resolve();
    logMore();
  }
}

/** What is set of the variables that say where Redis is, as this realm sees them. */
function variables() {
  /** @type {Environment} */
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
