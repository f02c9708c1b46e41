// S: tests of the checker itself on constructed histories: a correct one passes, and each wrong one violates exactly
// its invariant.

import * as invariants from '../invariants.mjs';
import { brokenRetryTimes } from '../retry-times.mjs';
import { resourceLeaks } from '../resources.mjs';
import { secretLeaks } from '../secrets.mjs';
import { unexplained } from '../recovery.mjs';
import { otherShardsUnaffected, shardOf, slowShardRecoveries } from '../shards.mjs';
import { Scenario } from '../scenario.mjs';
import { SchedulingDelays, unionMs } from '../scheduling-delays.mjs';

const limiters = {
  local: { limit: 2, windowMs: 100, timeoutMs: 50, onStoreError: 'local' },
  closed: { limit: 2, windowMs: 100, timeoutMs: 50, onStoreError: 'closed' },
};

const RUNNING = { stalls: [], queued: [], queuedMain: [] };

const decision = (at, more = {}) => ({
  process: 0,
  limiter: 'local',
  id: 'a',
  outcome: 'allowed',
  source: 'redis',
  moment: at,
  retryAfterMs: 0,
  calledAt: at - 1,
  settledAt: at + 1,
  ...more,
});
const denial = (at, retryAfterMs, more = {}) => decision(at, { outcome: 'denied', moment: 0, retryAfterMs, ...more });

/** Two are admitted; the third is denied until the first leaves the window, and the fourth takes its slot. */
const good = [decision(1000), decision(1010), denial(1050, 50), decision(1100), decision(1110), denial(1150, 50)];
const allInvariants = {
  exact: (history) => invariants.exact(history, limiters),
  localBound: (history) => invariants.localBound(history, limiters),
  onlyRedisAdmits: (history) => invariants.onlyRedisAdmits(history, limiters),
  ownReplies: (history) => invariants.ownReplies(history, 0),
  noNeedlessDenial: (history) => invariants.noNeedlessDenial(history, limiters, 0),
  brokenRetryTimes: (history) => brokenRetryTimes(history),
  punctual: (history) => invariants.punctual(history, limiters, () => RUNNING).violations,
  codes: (history) => invariants.codes(history, limiters),
  replayed: (history) => invariants.replayed(history, limiters, 0, [[1000, 1500]]),
};

const bad = {
  exact: [decision(1000), decision(1050), decision(1099)],
  localBound: [1000, 1050, 1099].map((at) => decision(at, { source: 'local' })),
  onlyRedisAdmits: [decision(1000, { limiter: 'closed', source: 'local' })],
  ownReplies: [decision(1000, { calledAt: 1200, settledAt: 1201 })],
  noNeedlessDenial: [decision(1000), denial(1010, 90)],
  brokenRetryTimes: [decision(800), decision(801), denial(850, 400), decision(950)],
  punctual: [decision(1000, { settledAt: 1200 })],
  codes: [decision(1000, { outcome: 'failed', source: 'undefined', moment: 0, limiter: 'local' })],
  replayed: [
    ...[1480, 1481].map((at) => decision(at, { source: 'local' })),
    decision(1520),
    // Redis answered process 0 at 1520: its local admissions are known to Redis from then on.
    decision(1540),
  ],
};

export default {
  id: 'S',
  title: 'the checker finds every fault in histories made by hand',
  quick: true,
  async run() {
    const violations = [];
    const must = (holds, otherwise) => holds || violations.push(otherwise);
    for (const [name, check] of Object.entries(allInvariants)) {
      const found = check(good);
      must(found.length === 0, `${name} rejects a correct history: ${found[0]}`);
      must(check(bad[name]).length > 0, `${name} finds no fault with a bad history`);
    }
    must(invariants.complete(good, good.length + 1).length > 0, 'a promise that never settled is not missed');
    const counted = { allowed: { redis: 2 }, denied: { 'deny-cache': 1 }, failed: 0 };
    const metricsMatch = (metrics) => invariants.metricsMatch([{ counts: { x: counted }, metrics: { x: metrics } }]);
    must(metricsMatch({ ...counted }).length === 0, 'metrics that are right are rejected');
    must(metricsMatch({ ...counted, failed: 1 }).length > 0, 'metrics that say too much are accepted');
    must(metricsMatch({ ...counted, denied: {} }).length > 0, 'metrics that say too little are accepted');
    must(invariants.exact(bad.exact, limiters, () => 1).length === 0, 'a lost write is not allowed for');
    must(
      invariants.exact([decision(1000), decision(1050), decision(1100)], limiters).length === 0,
      'a window is not half open',
    );
    // A stopped process is not late, a running one is.
    const late = (waits) =>
      invariants.punctual(bad.punctual, limiters, () => ({ ...RUNNING, ...waits })).violations.length;
    must(late({ stalls: [[1050, 1150, 100, 0]] }) === 0, 'a process that stood still counts as late');
    must(late({ stalls: [[1300, 1400, 100, 0]] }) > 0, 'a stall at another time excuses a late promise');
    must(late({ queued: [[1040, 1140, 60]] }) === 0, 'a thread that waited for a processor counts as late');
    must(late({ queued: [[1040, 1140, 40]] }) > 0, 'a thread that waited for less excuses a late promise');
    const blocked = (queuedMs) => invariants.unblocked([{ stalls: [[1000, 3000, 2000, queuedMs]] }]).length;
    must(blocked(0) > 0, 'a process that was kept from running is not found');
    must(blocked(1500) === 0, 'a process that waited for a processor counts as kept from running');
    overlapping(must);
    farEdge(must);
    healthyShards(must);
    // A process that waited for a processor explains decisions without Redis, until Redis decides again.
    const scenario = { server: {}, limiters, waitedMs: (_, from, to) => (from < 1000 && to > 950 ? 40 : 0) };
    const away = (at, took) => decision(at, { source: 'local', calledAt: at - took, settledAt: at });
    const unexplainedOf = (...list) => unexplained({ ...scenario, history: list }, list).length;
    must(unexplainedOf(away(990, 50), away(2100, 0)) === 0, 'a machine that was busy is no reason');
    must(unexplainedOf(away(2100, 50)) === 1, 'a check that waited for nothing has a reason');
    must(unexplainedOf(away(2100, 0)) === 1, 'a check that was decided at once has a reason');
    must(unexplainedOf(away(990, 50), decision(1500), away(2100, 0)) === 1, 'a reason outlasts a decision of Redis');
    const size = { descriptors: 20, threads: 8, memory: 2 ** 26 };
    for (const name of Object.keys(size)) {
      must(resourceLeaks([size], [{ ...size, [name]: size[name] * 3 }]).length > 0, `a leak of ${name} is not found`);
    }
    must(secretLeaks('hidden', [['a log', 'AUTH hidden']]).length > 0, 'a secret in a log is not found');
    return { violations, notes: [`${Object.keys(bad).length + 32} histories and measurements`] };
  },
};

/** A scenario of one process with the given scheduling delays: see scheduling-delays.mjs. */
function scenarioWith({ stalls = [], queued = [], queuedMain = [], suite = [], servers = [], nodes = [] }) {
  const waits = new SchedulingDelays(() => [], { stalls: suite, queuedMain: [] });
  waits.close();
  servers.forEach((list, pid) => waits.servers.set(pid, list));
  return new Judged({ delays: waits }, { heartbeat: { silences: nodes } }, [{ stalls, queued, queuedMain }]);
}

class Judged extends Scenario {
  constructor(context, server, records) {
    super(context, server, undefined, ['local'], {});
    this.records = records;
  }
}

/** Three threads that wait a third of the time each do not add up to all of it, and a stall is not counted twice. */
function overlapping(must) {
  const from = 100_000;
  /** In each tick of 20 s, 3 of 10 ms. */
  const third = Array.from({ length: 2000 }, (_, i) => [from + 10 * i, from + 10 * (i + 1), 3]);
  const half = third.map(([began, ended]) => [began, ended, 5]);
  const shardRecovery = { shard: 1, process: 0, from, to: from + 20_000 };
  const late = (waits) => {
    const scenario = scenarioWith(waits);
    scenario.shardRecoveries.push(shardRecovery);
    return slowShardRecoveries(scenario).length > 0;
  };
  const stall = [[from, from + 16_000, 16_000, 0]];
  const halves = [[[from, from + 8000, 8000, 0]], [[from + 8000, from + 16_000, 8000]]];
  must(late({}), 'a shard that decides again after 20 s is not found');
  must(!late({ stalls: stall }), 'a process that stood still for 16 of 20 s is late');
  must(late({ stalls: third, queued: third, servers: [third] }), 'waits of the same milliseconds are added');
  must(late({ suite: third, queued: third, nodes: [third] }), 'waits of the suite and of a node are added');
  must(!late({ stalls: halves[0], servers: [halves[1]] }), 'waits one after the other are not added');
  must(late({ servers: halves }), 'waits of two servers are added');
  must(
    !late({ queued: half, queuedMain: half, servers: [half] }),
    'threads that each wait for half of the time have not waited for most of it',
  );
  const fifth = third.map(([began, ended]) => [began, ended, 2]);
  const excused = (waits, took) => {
    const scenario = scenarioWith({ queued: waits, queuedMain: waits, servers: [waits] });
    const at = from + 2000;
    scenario.history = [decision(at, { source: 'local', calledAt: at - took, settledAt: at })];
    return scenario.unexplained(scenario.history).length === 0;
  };
  for (const took of [250, 0]) {
    must(
      !excused(fifth, took),
      `threads that wait for a fifth of the time are the reason of a decision after ${took} ms`,
    );
    must(excused(half, took), `threads that wait for half of the time are no reason of a decision after ${took} ms`);
  }
  const alone = { ...RUNNING, stalls: [[1050, 1080, 30, 0]], queued: [[1050, 1080, 30]] };
  must(
    invariants.punctual(bad.punctual, limiters, () => alone).violations.length > 0,
    'a stall and a wait for a processor in it are added',
  );
  const whole = [[from - 10, from + 20, 30]];
  must(unionMs([whole, whole, whole], from, from + 10) === 10, 'more was waited for than the stretch is long');
  // Noticed after its end: it began before the tick.
  const long = [[from + 190, from + 200, 150]];
  must(unionMs([long], from + 60, from + 160) === 100, 'a wait is only in the tick in which it ended');
}

/** Local admissions a few ms inside of the window count; at its far edge the clocks are too inexact to decide. */
function farEdge(must) {
  const { windowMs } = limiters.local;
  const replayed = (inside) => {
    const local = [1496 + inside, 1499].map((at) => decision(at, { source: 'local' }));
    const history = [...local, decision(1520, { id: 'b' }), decision(1496 + windowMs)];
    return invariants.replayed(history, limiters, 0, [[1000, 1500]]).length;
  };
  must(replayed(0) === 0, 'what left the window counts');
  must(replayed(1) === 0, 'two clocks that read whole ms make an admission too many');
  must(replayed(2) > 0, 'one too many 2 ms inside of the window is not found');
}

/** The median latency of the healthy shards. */
function healthyShards(must) {
  const faulty = 1;
  const ids = Array.from({ length: 99 }, (_, i) => `id-${i}`).filter(
    (id) => shardOf({ limiter: 'local', id }) !== faulty,
  );
  const violations = (ms, waits = {}) => {
    const scenario = scenarioWith(waits);
    const checks = (from, took) =>
      ids.map((id, i) => decision(from, { id, calledAt: from + i, settledAt: from + i + took }));
    Object.assign(scenario, { startedAt: 0, outages: [[1000, 2000]], history: [...checks(0, 2), ...checks(1000, ms)] });
    otherShardsUnaffected(scenario, scenario.outages[0], faulty);
    return scenario.violations.length;
  };
  must(violations(4) === 0, 'a shard that takes twice as long is found slow');
  must(violations(250) > 0, 'a shard that waits for the faulty one is not found slow');
  must(violations(250, { queued: [[1000, 1400, 400]] }) === 0, 'a shard is slow where its checks wait for a processor');
}
