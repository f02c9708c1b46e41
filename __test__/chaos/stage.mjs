// What every fault has in common: processes that ask all the while, a server that they are sure to have reached, a fault,
// its end, the time until Redis decides again, and the invariants over all that was decided.

import { fullest } from './fullest.mjs';
import { grouped, historyOf } from './history.mjs';
import * as invariants from './invariants.mjs';
import { mortal } from './keys.mjs';
import { promisesKept } from './promises.mjs';
import { returned } from './resources.mjs';
import { secret } from './secrets.mjs';
import { SETTLED_MS, harmless, relapse } from './settled.mjs';
import { now, sleep, until } from './time.mjs';

/** A few small quotas that are used up all the time, so that denials, limits and expiry matter, and a short window, so
 *  that many of them pass. */
const QUOTA = { limit: 20, windowMs: 2000, timeoutMs: 250 };
const POLICIES = ['local', 'closed', 'throw'];
const CALLERS = { local: 24, closed: 8, throw: 8 };
/** I18: seconds. */
const RECOVERY_MS = 5000;
/** How long recovery is waited for before the row is given up. */
const GIVEN_UP_MS = 12_000;
const FOOTPRINT_MS = 4000;
/** No process stands still for longer, unless that is the fault. */
const STILL_MS = 1000;

export class Stage {
  recoveries = [];
  outages = [];
  violations = [];
  notes = [];
  ended = false;
  #streams;
  #before;

  /**
   * Opens the limiters in every process and waits until Redis decides in each.
   *
   * @param through `{ host, port }` that the limiters are told: a server, or a proxy in front of it
   * @param quota what differs from QUOTA
   * @param redis what differs in the options of the connection; `redisBy`, in those of one policy
   * @param streams what differs from the callers of each policy
   * @param callerOf what process `i` is started with
   */
  static async open(context, { server, through = server, processes = 3, policies = POLICIES, ...more }) {
    const stage = new Stage(context, server, through, policies, more);
    stage.callers = Array.from({ length: processes }, (_, i) => context.caller(more.callerOf?.(i)));
    await Promise.all(stage.callers.map((caller) => caller.ask('open', stage.#opened())));
    await stage.#baseline();
    return stage;
  }

  constructor(context, server, through, policies, { quota, redis, redisBy, streams, algorithm }) {
    Object.assign(this, { context, server, through, algorithm, redis, redisBy });
    this.limiters = Object.fromEntries(
      policies.map((policy) => [policy, { ...QUOTA, ...quota, name: policy, onStoreError: policy }]),
    );
    this.#streams = policies.map((limiter) => ({
      limiter,
      asking: CALLERS[limiter],
      thinkMs: 25,
      hot: 3,
      hotShare: 0.4,
      cold: 2000,
      ...streams,
    }));
  }

  #opened() {
    const { host, port } = this.through;
    const access = this.server.access ?? { password: this.context.password };
    return Object.entries(this.limiters).map(([key, options]) => ({
      key,
      algorithm: this.algorithm,
      options: { ...options, redis: { host, port, ...access, ...this.redis, ...this.redisBy?.[key] } },
    }));
  }

  /** Traffic begins, reaches Redis in every process, and what a process holds of the system is measured. */
  async #baseline() {
    this.startedAt = now();
    await this.resume();
    if ((await this.#decidedSince(this.startedAt)) === undefined) throw new Error('Redis decides nothing at the start');
    await sleep(400);
    await this.measure();
    this.wallOffset = Date.now() - now();
  }

  /** What the processes hold of the system now is what they may hold afterwards. */
  measure = async () => void (this.#before = await this.all('footprint'));

  /** Traffic, until `all('stop')`. */
  resume() {
    return this.all('start', this.#streams);
  }

  all(command, argument) {
    return Promise.all(this.callers.map((caller) => caller.ask(command, argument)));
  }

  /** One outage: begins, lasts, ends. Records how long every process took to be answered by Redis again. */
  async outage(what, { begin, lastMs, end, returns = end }) {
    this.context.step(what);
    const from = now();
    await begin();
    await sleep(lastMs);
    if (end !== returns) await end();
    await returns();
    const to = now();
    this.outages.push([from, to]);
    await this.recovered(to);
    return [from, to];
  }

  /** Waits until every process has had a decision of Redis that it asked for after `since`. */
  async recovered(since) {
    const took = await this.#decidedSince(since);
    if (took === undefined) this.must(false, `I18: no decision of Redis within ${GIVEN_UP_MS} ms`);
    this.recoveries.push(took ?? Infinity);
    this.context.step(
      took === undefined ? 'Redis does not decide again' : `Redis decides again after ${Math.round(took)} ms`,
    );
    return took;
  }

  async #decidedSince(since) {
    const keys = Object.keys(this.limiters);
    const asked = ({ progress }) => keys.every((key) => (progress.lastRedis[key] ?? 0) >= since);
    const all = await until(GIVEN_UP_MS, () => this.callers.every(asked), 10);
    return all && now() - since;
  }

  /** What a row must show beyond the invariants. */
  must(holds, otherwise) {
    if (!holds) this.violations.push(otherwise);
  }

  note(text) {
    this.notes.push(text);
  }

  /** Traffic ends; everything that was decided until then. */
  async quiet() {
    if (this.ended) return;
    this.ended = true;
    const settledFrom = now();
    await sleep(SETTLED_MS);
    this.afterwards = await this.all('stop');
    this.records = await this.all('records');
    this.history = historyOf(this.records);
    this.settled = this.between(settledFrom);
    this.recoveries = this.recoveries.map((took, i) => (took < Infinity ? this.decided(this.outages[i][1]) : took));
  }

  /** From the moment on, until every process has been answered by Redis in each of its limiters. */
  decided(since) {
    const first = new Map();
    for (const { process, limiter, source, settledAt } of this.history) {
      if (source !== 'redis' || settledAt < since) continue;
      const key = `${process} ${limiter}`;
      first.set(key, Math.min(first.get(key) ?? Infinity, settledAt));
    }
    return Math.max(...first.values()) - since;
  }

  /** The decisions of a stretch of time. */
  between(from, to = Infinity) {
    return this.history.filter(({ calledAt }) => calledAt >= from && calledAt < to);
  }

  /** How many checks under `throw` failed with a code. */
  failedWith(code) {
    return this.history.filter(({ outcome, source }) => outcome === 'failed' && source === code).length;
  }

  noteCodes() {
    const codes = new Set(this.history.filter(({ outcome }) => outcome === 'failed').map(({ source }) => source));
    this.note(`codes: ${[...codes].sort().join(', ') || 'none'}`);
  }

  /** Who decided, as a text. */
  share(decisions) {
    const sources = [...grouped(decisions, ({ source }) => source)].sort(([, a], [, b]) => b.length - a.length);
    return sources.map(([source, { length }]) => `${length} by ${source}`).join(', ');
  }

  /**
   * Ends the traffic and judges it.
   *
   * @param lost how many admissions of an id the server has forgotten: `(key) => number`
   * @param except names of invariants that this fault does not leave standing, with the reason in its file
   * @param bites whether each outage must have cost Redis decisions: else it has not happened
   * @param still whether processes are meant to stand still
   * @param moreTtlMs what a moved clock adds to TTLs
   */
  async finish({
    lost,
    except = [],
    moreTtlMs = 0,
    recoveryMs = RECOVERY_MS,
    keys = true,
    bites = true,
    still = false,
  } = {}) {
    await this.quiet();
    const { history, limiters, wallOffset, records } = this;
    const calls = records.reduce((sum, record) => sum + record.calls, 0);
    const { violations: late, figures } = invariants.punctual(history, limiters, (i) => records[i].stalls);
    const found = {
      I1: invariants.exact(history, limiters, lost),
      local: invariants.localBound(history, limiters),
      policy: invariants.nothingElse(history, limiters),
      own: invariants.itsOwn(history, wallOffset),
      I5: invariants.noNeedlessDenial(history, limiters, wallOffset),
      I9: keys ? await mortal(this.server, limiters, moreTtlMs) : [],
      I16: late,
      I17: [...invariants.complete(history, calls), ...invariants.metered(records)],
      I18: this.recoveries
        .filter((ms) => ms > recoveryMs && ms < Infinity)
        .map((ms) => `Redis decided again after ${Math.round(ms)} ms`),
      relapse: relapse(this.settled),
      bites: bites ? harmless(history, this.outages, this.recoveries) : [],
      still:
        !still && figures.longestStallMs > STILL_MS
          ? [`a process stood still for ${Math.round(figures.longestStallMs)} ms`]
          : [],
      I20: await this.#resources(),
      I21: this.#secrets(),
      I22: promisesKept(history, (i) => records[i].stalls),
      codes: invariants.codes(history, limiters),
      escaped: this.#escaped(),
    };
    for (const [name, list] of Object.entries(found)) {
      if (except.includes(name)) continue;
      for (const text of list.slice(0, 2)) this.violations.push(`${name}: ${text}`);
    }
    await Promise.all(this.callers.map((caller) => this.#ends(caller)));
    return this.#row(calls, figures);
  }

  #row(calls, figures) {
    const { history, limiters } = this;
    const bySource = {};
    for (const { source } of history) bySource[source] = (bySource[source] ?? 0) + 1;
    return {
      calls,
      settled: history.length,
      late: figures.late,
      slowestMs: figures.slowestMs,
      slowestRunningMs: figures.slowestRunningMs,
      longestStallMs: figures.longestStallMs,
      bySource,
      ...fullest(history, limiters, this.callers.length, this.wallOffset),
      recoveries: this.recoveries,
      before: sum(this.#before),
      after: sum(this.after),
      notes: this.notes,
      violations: this.violations,
    };
  }

  /** Descriptors and threads go in their own time: what is there when they have. */
  async #resources() {
    let left;
    await until(
      FOOTPRINT_MS,
      async () => {
        this.after = await this.all('footprint');
        left = returned(this.#before, this.after);
        return left.length === 0;
      },
      200,
    );
    return left;
  }

  #secrets() {
    const texts = this.records.flatMap(({ texts }, i) => texts.map((text) => [`what process ${i} could log`, text]));
    const printed = this.callers.map(({ printed }, i) => [`what process ${i} printed`, printed]);
    return secret(this.context.password, [...texts, ...printed]);
  }

  #escaped() {
    return this.records.flatMap(({ escaped }, i) =>
      Object.entries(escaped).flatMap(([what, count]) => (count > 0 ? [`${count} ${what} in process ${i}`] : [])),
    );
  }

  async #ends(caller) {
    const code = await caller.end();
    this.must(code === 0, `a process ended with ${code}: ${caller.printed.slice(-300)}`);
  }
}

function sum(footprints) {
  const total = (name) => footprints.reduce((all, footprint) => all + footprint[name], 0);
  return { descriptors: total('descriptors'), threads: total('threads'), memory: total('memory') };
}
