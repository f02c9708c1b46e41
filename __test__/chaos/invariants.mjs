// The invariants, each a function over the history of all processes. A function returns the violations, each a text; an
// empty list means that the invariant holds.

import { isDeepStrictEqual } from 'node:util';
import { admissions, byIdOf, countUpTo, grouped, mostInWindow } from './history.mjs';
import { unionMs } from './scheduling-delays.mjs';

/** A settled promise waits for the event loop: the contract calls it scheduling. */
export const SCHEDULING_MS = 100;
/** Wall and monotonic clock are read one after the other, in ms, and one of them is slewed. */
export const CLOCKS_MS = 20;
const NOTHING = { allowed: {}, denied: {}, failed: 0 };

/**
 * I1: Redis admits at most `limit` in every window, whatever other sources decide. `lost` returns for an id how many
 * more are allowed, because a failover or an eviction has lost as many.
 */
export function exact(history, limiters, lost = () => 0) {
  return overAdmitted('redis', admissions(history, 'redis'), limiters, (key, limit) => limit + lost(key));
}

/** The bound under `local`: in addition, in every window, one `limit` for each process. */
export function localBound(history, limiters) {
  const locals = admissions(history, 'local');
  return [...grouped(locals, ({ process }) => process)].flatMap(([process, own]) =>
    overAdmitted(`process ${process} alone`, own, limiters, (_, limit) => limit),
  );
}

/** Under `closed` and `throw` Redis alone admits. */
export function onlyRedisAdmits(history, limiters) {
  const wrong = admissions(history).filter(
    ({ limiter, source }) => source !== 'redis' && ['closed', 'throw'].includes(limiters[limiter].onStoreError),
  );
  return wrong.length === 0 ? [] : [`${wrong.length} admitted by ${wrong[0].source} under ${wrong[0].limiter}`];
}

function overAdmitted(who, admitted, limiters, boundOf) {
  const violations = [];
  for (const [key, list] of byIdOf(admitted)) {
    const { limit, windowMs } = limiters[list[0].limiter];
    const bound = boundOf(key, limit);
    const most = mostInWindow(
      list.map(({ moment }) => moment),
      windowMs,
    );
    if (most > bound) violations.push(`${who} admitted ${most} of ${bound} in a window: ${key}`);
  }
  return violations;
}

/**
 * A decision of Redis belongs to its check: it was made between the call and the answer. The reply to another request
 * need not be. `wallOffset` is the server's wall clock minus the monotonic one.
 */
export function ownReplies(history, wallOffset) {
  const wrong = admissions(history, 'redis').filter(({ moment, calledAt, settledAt }) => {
    const at = moment - wallOffset;
    return at < calledAt - CLOCKS_MS || at > settledAt + CLOCKS_MS;
  });
  if (wrong.length === 0) return [];
  const [{ moment, calledAt, settledAt, id }] = wrong;
  const from = (moment - wallOffset - calledAt).toFixed(1);
  return [
    `${wrong.length} admissions by another request's answer: ${id} at ${from} ms of ${(settledAt - calledAt).toFixed(1)}`,
  ];
}

/**
 * I5, and no other denials: Redis denies only if `limit` admissions may be in the window. A check without a timely
 * reply may have been recorded there, and then again by the process that decided instead.
 */
export function noNeedlessDenial(history, limiters, wallOffset) {
  let needless = 0;
  let example;
  for (const [key, list] of byIdOf(history)) {
    const { limit, windowMs } = limiters[list[0].limiter];
    const recorded = sorted(admissions(list, 'redis').map(({ moment }) => moment - wallOffset));
    const undecided = list.filter(({ source }) => source !== 'redis' && source !== 'deny-cache');
    const [askedAt, givenUpAt] = ['calledAt', 'settledAt'].map((at) => sorted(undecided.map((one) => one[at])));
    for (const { outcome, source, calledAt, settledAt } of list) {
      if (outcome !== 'denied' || (source !== 'redis' && source !== 'deny-cache')) continue;
      const between = (moments) =>
        countUpTo(moments, settledAt + CLOCKS_MS) - countUpTo(moments, calledAt - windowMs - CLOCKS_MS);
      // A request may be recorded as soon as it is made, long before its promise settles, and after that has settled,
      // by as long as the network delayed it.
      const ghosts = countUpTo(askedAt, settledAt + CLOCKS_MS) - countUpTo(givenUpAt, calledAt - 2 * windowMs);
      if (between(recorded) + 2 * ghosts >= limit) continue;
      needless++;
      example ??= `${key}: ${between(recorded)} of ${limit} in the window`;
    }
  }
  return needless === 0 ? [] : [`${needless} denials of quotas that are not used up, such as ${example}`];
}

/** No process stops for longer, unless that is the fault. */
const STILL_MS = 1000;

/**
 * I16: settled by the deadline and 100 ms. The time in which a process was stopped, or its threads waited for a
 * processor, is subtracted and reported. `waitsOf` returns the delays of a process in the form of
 * process/scheduling-delays.cjs.
 */
export function punctual(history, limiters, waitsOf) {
  const figures = { slowestMs: 0, slowestRunningMs: 0, late: 0, longestStallMs: 0, longestQueuedMs: 0 };
  const atMost = (name, ms) => (figures[name] = Math.max(figures[name], ms));
  for (const [process, list] of grouped(history, (decision) => decision.process)) {
    const { stalls, queued, queuedMain } = waitsOf(process);
    for (const [, , ms] of stalls) atMost('longestStallMs', ms);
    for (const [, , ms] of queued) atMost('longestQueuedMs', ms);
    for (const { limiter, calledAt, settledAt } of list) {
      const took = settledAt - calledAt;
      atMost('slowestMs', took);
      const due = limiters[limiter].timeoutMs + SCHEDULING_MS;
      if (took <= Math.min(due, figures.slowestRunningMs)) continue;
      const running = took - unionMs([stalls, queued, queuedMain], calledAt, settledAt);
      atMost('slowestRunningMs', running);
      if (running > due) figures.late++;
    }
  }
  const violations =
    figures.late === 0
      ? []
      : [`${figures.late} settled late, the slowest after ${Math.round(figures.slowestRunningMs)} ms of running`];
  return { violations, figures };
}

/**
 * The addon never blocks a process. An interval in which the process waited for a processor is the machine's, and so is
 * one in which the suite, which has no addon, was stopped itself: `machineMs(from, to)`.
 */
export function unblocked(records, machineMs = () => 0) {
  return records.flatMap(({ stalls }, i) =>
    stalls
      .map(([from, to, ms, queuedMs]) => ms - Math.max(queuedMs, machineMs(from, to)))
      .filter((ms) => ms > STILL_MS)
      .map((ms) => `process ${i} stood still for ${Math.round(ms)} ms`),
  );
}

/** I17: every call is allowed, denied or failed, and no promise is pending. */
export function complete(history, calls) {
  return history.length === calls ? [] : [`${calls} calls, ${history.length} settled`];
}

/** I17: the metrics match the callers' counts of allowed and denied by source, and of failures. */
export function metricsMatch(records) {
  return records.flatMap(({ metrics, counts }, i) =>
    Object.entries(metrics)
      .filter(([limiter, said]) => !isDeepStrictEqual(said, counts[limiter] ?? NOTHING))
      .map(
        ([limiter, said]) =>
          `process ${i}, ${limiter}: the metrics say ${JSON.stringify(said)}, seen was ${JSON.stringify(counts[limiter])}`,
      ),
  );
}

/** Every failure has one of the codes that the types promise, and `local` and `closed` never fail. */
export function codes(history, limiters) {
  const failed = history.filter(({ outcome }) => outcome === 'failed');
  const unknown = failed.filter(({ source }) => !CODES.has(source));
  const wrong = failed.filter(({ limiter }) => limiters[limiter].onStoreError !== 'throw');
  return [
    ...(unknown.length > 0 ? [`${unknown.length} failures without a code of ours: ${unknown[0].source}`] : []),
    ...(wrong.length > 0 ? [`${wrong.length} failures under ${wrong[0].limiter}: ${wrong[0].source}`] : []),
  ];
}

const CODES = new Set(
  (
    'ETIMEDOUT ECONNREFUSED ENOTFOUND ECONNRESET TLS NOAUTH WRONGPASS NOPERM READONLY MISCONF LOADING OOM MAXCLIENTS ' +
    'BUSY CLUSTER CLUSTERDOWN PROTOCOL OVERLOADED'
  ).split(' '),
);

/**
 * A replayed admission may leave Redis's window earlier than this judge's by so much, in ms.
 *
 * A process stamps an admission `m`, takes its age `L - m` at `L` of the same clock, and Redis enters it at
 * `R - (L - m)`, by its own TIME `R` when the script runs. All are whole ms, rounded down. The script runs after the age was
 * taken and the process's clock is never ahead of the machine's, which Redis reads: `R >= L`, and the entry is at `m`
 * or later. A process or a network that stalls in between makes `R - L` larger, and the entry later still. It leaves
 * when Redis's clock says `m + window`, or later.
 *
 * The judge converts `m` and Redis's times to the monotonic clock, by offsets that two processes have read of
 * `Date.now()`: each rounds down, by less than 1 ms, and is off by half of the shortest of twenty readings (see
 * clock.cjs), which are microseconds. So `m` is less than 1 ms later than Redis's times, and the errors of both
 * readings are added.
 */
const OFFSETS_MS = 1.5;

/**
 * Replay: the local admissions of a process during an outage count in Redis from that process's first decision by Redis
 * on, and in a cluster by the shard of the id. An admission of Redis then has at most `limit` in its window, counting
 * its own and the replayed ones. `outages` are `[from, to]`, where Redis answers again at `to`.
 */
export function replayed(history, limiters, wallOffset, outages, shardOf = () => 0) {
  const violations = [];
  const away = (at) => outages.findIndex(([from, to]) => at >= from && at <= to);
  for (const [limiter, all] of grouped(history, (decision) => decision.limiter)) {
    const { limit, windowMs, onStoreError } = limiters[limiter];
    if (onStoreError !== 'local') continue;
    const back = firstRedisDecisions(all, outages, shardOf);
    for (const [key, list] of byIdOf(all)) {
      const ofRedis = admissions(list, 'redis').map(({ moment, calledAt }) => ({ at: moment - wallOffset, calledAt }));
      const known = admissions(list, 'local').flatMap(({ process, moment, settledAt }) => {
        const outage = away(settledAt);
        return outage < 0 ? [] : [{ at: moment, from: back[outage].get(`${process} ${shardOf(list[0])}`) ?? Infinity }];
      });
      if (known.length === 0) continue;
      const knownAt = sorted(known.map(({ at }) => at));
      const redisAt = sorted(ofRedis.map(({ at }) => at));
      for (const { at, calledAt } of ofRedis) {
        // Admissions of a process that has not replayed yet are not counted.
        const unknown = known.filter(({ from }) => from > calledAt).length;
        const inWindow = (moments, edge = 0) => countUpTo(moments, at) - countUpTo(moments, at - windowMs + edge);
        const local = inWindow(knownAt, OFFSETS_MS);
        const total = inWindow(redisAt) + Math.max(0, local - unknown);
        if (local > 0 && total > limit) violations.push(`${key}: ${total} of ${limit} after replay`);
      }
    }
  }
  return violations.length === 0 ? [] : [`${violations.length} admissions too many after replay, ${violations[0]}`];
}

/** For each outage, the time of the first reply of each shard to each process. */
function firstRedisDecisions(history, outages, shardOf) {
  return outages.map(([, to]) => {
    const first = new Map();
    for (const decision of history) {
      const { process, source, calledAt, settledAt } = decision;
      if (source !== 'redis' || calledAt < to) continue;
      const by = `${process} ${shardOf(decision)}`;
      first.set(by, Math.min(first.get(by) ?? Infinity, settledAt));
    }
    return first;
  });
}

function sorted(numbers) {
  return Float64Array.from(numbers).sort();
}
