// The common course of every fault: processes with constant traffic reach a server; then the fault, its end, the time
// until Redis decides again, and the invariants over all decisions.

import { peakWindows } from './peak-window.mjs';
import { grouped, historyOf } from './history.mjs';
import * as invariants from './invariants.mjs';
import { expiryViolations } from './key-expiry.mjs';
import { brokenRetryTimes } from './retry-times.mjs';
import { resourceLeaks } from './resources.mjs';
import { secretLeaks } from './secrets.mjs';
import { waitForAllShards, slowShardRecoveries } from './shards.mjs';
import { SETTLED, SETTLED_MS, harmless, relapse, unexplained } from './recovery.mjs';
import { HANG_MS, eventually, now, sleep, until, wallOffset } from './time.mjs';

/**
 * A few small quotas in constant use, so that denials, limits and expiry matter, and a short window, so that many of
 * them pass.
 */
const QUOTA = { limit: 20, windowMs: 2000, timeoutMs: 250 };
const POLICIES = ['local', 'closed', 'throw'];
const CALLERS = { local: 12, closed: 4, throw: 4 };
const FEW = 2;
/** I18: Redis decides again within this time after its return. */
const RECOVERY_MS = 5000;
/** The resources of a process are measured after so many checks, until they no longer grow. */
const MEASURE_EVERY = 50;
/** Without traffic they are measured so often, until they are back at the baseline. */
const MEASURE_EVERY_MS = 150;

export class Scenario {
  recoveries = [];
  outages = [];
  /** The shards that were waited for; see shards.mjs. */
  shardRecoveries = [];
  violations = [];
  notes = [];
  ended = false;
  #streams;
  #before;

  /**
   * Opens the limiters in every process and waits until Redis decides in each.
   *
   * @param through `{ host, port }` for the limiters: a server, or a proxy in front of it
   * @param quota overrides QUOTA
   * @param besides more limiters, by name: each overrides QUOTA
   * @param disruptive whether each outage must have cost Redis decisions: otherwise it has not happened
   * @param redis additional connection options; `redisBy`, those of one policy
   * @param streams overrides the callers of each policy
   * @param processOptions returns the start options of process `i`
   */
  static async open(context, { server, through = server, processes = 3, policies = POLICIES, ...more }) {
    const scenario = new Scenario(context, server, through, policies, more);
    scenario.processes = Array.from({ length: processes }, (_, i) => context.trafficProcess(more.processOptions?.(i)));
    await Promise.all(scenario.processes.map((child) => child.ask('open', scenario.#opened())));
    await scenario.#baseline();
    return scenario;
  }

  constructor(
    context,
    server,
    through,
    policies,
    { quota, besides = {}, redis, redisBy, streams, algorithm, disruptive = true },
  ) {
    const names = [...policies, ...Object.keys(besides)];
    Object.assign(this, { context, server, through, names, algorithm, redis, redisBy, disruptive });
    const limiter = (name, own) => [name, { ...QUOTA, name, onStoreError: name, ...own }];
    this.limiters = Object.fromEntries([
      ...policies.map((policy) => limiter(policy, quota)),
      ...Object.entries(besides).map(([name, own]) => limiter(name, own)),
    ]);
    const asking = (name) => (name in besides ? FEW : (streams?.asking ?? CALLERS[name]));
    this.#streams = names.map((limiter) => ({
      limiter,
      thinkMs: 25,
      hot: 3,
      hotShare: 0.4,
      cold: 2000,
      ...streams,
      asking: asking(limiter),
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

  /** Starts traffic, waits until it reaches Redis in every process, and measures the resources of the processes. */
  async #baseline() {
    this.startedAt = now();
    await this.resume();
    await this.decides(this.startedAt);
    await this.measure();
    this.wallOffset = wallOffset();
  }

  /**
   * Measures the baseline of the processes' resources. Connections are opened on demand: the baseline is taken when
   * checks in every process have twice opened no more.
   *
   * @param complete whether all connections are open, if a fault knows: then the baseline is taken at once
   */
  async measure(complete) {
    let same = 0;
    await eventually('all connections are open', async () => {
      if (complete !== undefined && !(await complete())) return false;
      const earlier = this.#before;
      this.#before = await this.all('footprint');
      if (complete !== undefined) return complete();
      const more = (now, i) => now.descriptors > earlier[i].descriptors || now.threads > earlier[i].threads;
      same = earlier === undefined || this.#before.some(more) ? 0 : same + 1;
      await this.asked(MEASURE_EVERY);
      return same >= 2;
    });
  }

  /** Waits until every process has settled `count` more checks. */
  async asked(count) {
    const before = this.processes.map(({ progress }) => progress.settled);
    const more = () => this.processes.every(({ progress }, i) => progress.settled - before[i] >= count);
    await eventually('traffic continues', more, 10);
  }

  /** The ids of the traffic, each `[limiter, id]`. */
  ids() {
    const numbered = (name, count) => Array.from({ length: count }, (_, n) => `${name}-${n}`);
    return this.#streams.flatMap(({ limiter, hot, cold }) =>
      [...numbered('hot', hot), ...numbered('cold', cold)].map((id) => [limiter, id]),
    );
  }

  /** Traffic, until `all('stop')`. */
  resume() {
    return this.all('start', this.#streams);
  }

  all(command, argument) {
    return Promise.all(this.processes.map((child) => child.ask(command, argument)));
  }

  /**
   * One outage: begins, lasts, ends. Records the time until Redis has answered every process again.
   *
   * @param lastMs its least duration
   * @param until `(since) => boolean`: and until that holds. Default: until it has cost Redis a decision, if it is
   *   disruptive
   * @param returns makes the server take commands again, if `end` alone does not
   */
  async outage(
    what,
    {
      begin,
      lastMs = 0,
      until: effective = this.disruptive ? this.decidedWithoutRedis : () => true,
      end = () => {},
      returns = end,
    },
  ) {
    this.context.step(what);
    const from = now();
    await begin();
    await sleep(lastMs);
    await eventually(`${what} has an effect`, () => effective(from));
    if (end !== returns) await end();
    await returns();
    const to = now();
    this.outages.push([from, to]);
    await this.recovered(to);
    return [from, to];
  }

  /** Whether a check made since then was decided without Redis. */
  decidedWithoutRedis = (since) => this.processes.some(({ progress }) => latestOf(progress.latest.other) >= since);

  /** Whether a check made since then has failed with the code; for `until`. */
  hasFailedWith = (code) => (since) => this.processes.some(({ progress }) => progress.latest.codes[code] >= since);

  /** Whether Redis has decided a check made since then. */
  hasDecided = (since) => this.processes.some(({ progress }) => latestOf(progress.latest.redis) >= since);

  /** Waits until every process has settled its earlier checks: replies in flight have arrived. */
  async settledUntilNow() {
    const moment = now();
    await eventually('checks in flight settle', () =>
      this.processes.every(({ progress: { at, oldest } }) => at > moment && oldest > moment),
    );
  }

  /**
   * Waits until every breaker is open: each limiter in every process has made a decision at once and without Redis
   * since then.
   */
  async breakersOpen(since) {
    const all = ({ progress }) => this.names.every((policy) => progress.latest.atOnce[policy] >= since);
    await eventually('every breaker is open', () => this.processes.every(all));
    await this.settledUntilNow();
  }

  /** Waits until Redis has decided checks made after `since`, in every process and under every policy. */
  async recovered(since) {
    const took = await this.#decidedSince(since);
    if (took === undefined) this.must(false, `I18: no decision of Redis within ${HANG_MS} ms`);
    this.recoveries.push({ took: took ?? Infinity });
    this.context.step(
      took === undefined ? 'Redis does not decide again' : `Redis decides again after ${Math.round(took)} ms`,
    );
    return took;
  }

  /** The same without an outage. */
  async decides(since) {
    if ((await this.#decidedSince(since)) === undefined) throw new Error(`no decision of Redis within ${HANG_MS} ms`);
  }

  async #decidedSince(since) {
    const asked = ({ progress }) => this.names.every((policy) => progress.latest.redis[policy] >= since);
    const all = await until(HANG_MS, () => this.processes.every(asked), 10);
    return all && now() - since;
  }

  /** A condition of the row beyond the invariants. */
  must(holds, otherwise) {
    if (!holds) this.violations.push(otherwise);
  }

  note(text) {
    this.notes.push(text);
  }

  /** Stops the traffic and collects all decisions. */
  async stopTraffic() {
    if (this.ended) return;
    this.ended = true;
    // The fault of one shard may have opened the breakers of others, too: each is probed about once a second.
    await waitForAllShards(this);
    this.settledFrom = now();
    await Promise.all([sleep(SETTLED_MS), this.asked(SETTLED)]);
    this.afterwards = await this.all('stop');
    this.records = await this.all('records');
    this.history = historyOf(this.records);
    this.settled = this.between(this.settledFrom);
    this.recoveries = this.recoveries.map(({ took }, i) =>
      took < Infinity ? this.decided(this.outages[i][1]) : { took, running: took },
    );
  }

  /**
   * The time from `since` until Redis has answered every process in each of its limiters: `took`, and `running` without
   * the scheduling delays of the process and the servers. `of` selects decisions, and `each` groups them: one of each
   * group is awaited.
   */
  decided(since, of, each = ({ process, limiter }) => `${process} ${limiter}`) {
    const first = new Map();
    for (const decision of this.history) {
      const { process, limiter, source, settledAt } = decision;
      if (source !== 'redis' || settledAt < since || !this.names.includes(limiter)) continue;
      if (of !== undefined && !of(decision)) continue;
      const key = each(decision);
      if (settledAt < (first.get(key)?.settledAt ?? Infinity)) first.set(key, { process, settledAt });
    }
    const answered = new Set([...first.values()].map(({ process }) => process));
    if (answered.size < this.processes.length) return { took: Infinity, running: Infinity };
    return this.#slowest([...first.values()].map(({ process, settledAt }) => [process, since, settledAt]));
  }

  /** The longest of several intervals of processes, and the longest without scheduling delays. */
  #slowest(stretches) {
    const running = ([process, from, to]) => to - from - this.waitedMs(process, from, to);
    return {
      took: Math.max(...stretches.map(([, from, to]) => to - from)),
      running: Math.max(...stretches.map(running)),
    };
  }

  /** The time of an interval in which the process, the suite or a server waited for a processor or was stopped. */
  waitedMs(process, from, to) {
    const { stalls, queued, queuedMain } = this.records[process];
    const nodes = this.server.heartbeat?.silences;
    return this.context.delays.within(from, to, { process: [stalls, queued, queuedMain], nodes });
  }

  /** The decisions that Redis did not make and that no scheduling delay explains. */
  unexplained(decisions) {
    return unexplained(this, decisions);
  }

  /** The decisions of an interval. */
  between(from, to = Infinity) {
    return this.history.filter(({ calledAt }) => calledAt >= from && calledAt < to);
  }

  /** The number of checks under `throw` that failed with a code. */
  failedWith(code) {
    return this.history.filter(({ outcome, source }) => outcome === 'failed' && source === code).length;
  }

  noteCodes() {
    const codes = new Set(this.history.filter(({ outcome }) => outcome === 'failed').map(({ source }) => source));
    this.note(`codes: ${[...codes].sort().join(', ') || 'none'}`);
  }

  /** The sources of decisions, as a text. */
  share(decisions) {
    const sources = [...grouped(decisions, ({ source }) => source)].sort(([, a], [, b]) => b.length - a.length);
    return sources.map(([source, { length }]) => `${length} by ${source}`).join(', ');
  }

  /** The sources of decisions with some examples, as a text. Times are relative to `from`. */
  examples(decisions, from) {
    const step = Math.ceil(decisions.length / 5);
    const some = decisions.filter((_, i) => i % step === 0);
    const texts = some.map(({ process, limiter, id, calledAt, settledAt, source }) => {
      const times = [calledAt - from, settledAt - calledAt, this.waitedMs(process, calledAt, settledAt)];
      const [at, took, waited] = times.map(Math.round);
      return `${limiter}:${id} by ${source} in process ${process} at ${at} ms, after ${took} ms, ${waited} ms of them waiting for a processor`;
    });
    return `${this.share(decisions)}, as ${texts.join('; ')}`;
  }

  /**
   * Stops the traffic and judges it.
   *
   * @param lost the number of admissions of an id that the server has lost: `(key) => number`
   * @param except names of invariants that this fault breaks, with the reason in its file
   * @param still whether the fault stops processes
   * @param moreTtlMs the TTL that a clock jump adds
   */
  async finish({ lost, except = [], moreTtlMs = 0, recoveryMs = RECOVERY_MS, keys = true, still = false } = {}) {
    await this.stopTraffic();
    const { history, limiters, wallOffset, records, disruptive } = this;
    const calls = records.reduce((sum, record) => sum + record.calls, 0);
    const { violations: late, figures } = invariants.punctual(history, limiters, (i) => records[i]);
    const found = {
      I1: invariants.exact(history, limiters, lost),
      local: invariants.localBound(history, limiters),
      policy: invariants.onlyRedisAdmits(history, limiters),
      own: invariants.ownReplies(history, wallOffset),
      I5: invariants.noNeedlessDenial(history, limiters, wallOffset),
      I9: keys ? await expiryViolations(this.server, limiters, moreTtlMs) : [],
      I16: late,
      I17: [...invariants.complete(history, calls), ...invariants.metricsMatch(records)],
      I18: this.recoveries
        .filter(({ running }) => running > recoveryMs && running < Infinity)
        .map(
          ({ took, running }) =>
            `Redis decided again after ${Math.round(took)} ms, ${Math.round(running)} ms of running`,
        )
        .concat(slowShardRecoveries(this)),
      relapse: relapse(this),
      disruptive: disruptive ? harmless(history, this.outages, this.recoveries) : [],
      still: still ? [] : invariants.unblocked(records, (from, to) => this.context.delays.ownStalls(from, to)),
      I20: await this.#resources(),
      I21: this.#secrets(),
      I22: brokenRetryTimes(history, (i) => records[i].stalls),
      codes: invariants.codes(history, limiters),
      escaped: this.#escaped(),
    };
    for (const [name, list] of Object.entries(found)) {
      if (except.includes(name)) continue;
      for (const text of list.slice(0, 2)) this.violations.push(`${name}: ${text}`);
    }
    await Promise.all(this.processes.map((child) => this.#end(child)));
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
      longestQueuedMs: figures.longestQueuedMs,
      bySource,
      ...peakWindows(history, limiters, this.processes.length, this.wallOffset),
      recoveries: this.recoveries.map(({ took }) => took),
      before: sum(this.#before),
      after: sum(this.after),
      notes: this.notes,
      violations: this.violations,
    };
  }

  /** Descriptors and threads are released with a delay: waits until they are. */
  async #resources() {
    let left;
    await until(
      HANG_MS,
      async () => {
        this.after = await this.all('footprint');
        left = resourceLeaks(this.#before, this.after);
        return left.length === 0;
      },
      MEASURE_EVERY_MS,
    );
    return left;
  }

  #secrets() {
    const texts = this.records.flatMap(({ texts }, i) => texts.map((text) => [`what process ${i} could log`, text]));
    const printed = this.processes.map(({ printed }, i) => [`what process ${i} printed`, printed]);
    return secretLeaks(this.context.password, [...texts, ...printed]);
  }

  #escaped() {
    return this.records.flatMap(({ escaped }, i) =>
      Object.entries(escaped).flatMap(([what, count]) => (count > 0 ? [`${count} ${what} in process ${i}`] : [])),
    );
  }

  async #end(child) {
    const code = await child.end();
    this.must(code === 0, `a process ended with ${code}: ${child.printed.slice(-300)}`);
  }
}

function latestOf(moments) {
  return Math.max(-Infinity, ...Object.values(moments));
}

function sum(footprints) {
  const total = (name) => footprints.reduce((all, footprint) => all + footprint[name], 0);
  return { descriptors: total('descriptors'), threads: total('threads'), memory: total('memory') };
}
