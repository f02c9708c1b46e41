// Before and after a fault: it has cost Redis decisions, and afterwards Redis decides again, and continues to.

import { byRedis, grouped } from './history.mjs';
import { shardOf } from './shards.mjs';

/** How long traffic continues after the last recovery, and the least number of checks in every process. */
export const SETTLED_MS = 1000;
export const SETTLED = 100;
/** The share of it that Redis has to decide. */
const SHARE = 0.95;

/** A recovered store is not lost again. */
export function relapse(scenario) {
  const lost = unexplained(scenario, scenario.settled);
  const share = 1 - lost.length / scenario.settled.length;
  if (share >= SHARE) return [];
  return [
    `Redis decided ${Math.round(share * 100)} % after its return, the rest ${scenario.examples(lost, scenario.settledFrom)}`,
  ];
}

/** The time for a new connection (`connectTimeoutMs`). Without a connection, checks are decided at once. */
const CONNECT_MS = 1000;

/**
 * The decisions that Redis did not make and that no wait for a processor explains. A wait explains a decision if the
 * process, the servers and the suite waited for half of the available time: for a check in flight, its deadline; for
 * one that was decided at once, the connect budget just before. While the breaker is open, the explanation of the
 * previous decision applies: that of the same process, limiter and shard, since Redis decided there last.
 */
export function unexplained(scenario, decisions) {
  if (decisions.every(byRedis)) return [];
  const wanted = new Set(decisions);
  const shard = scenario.server.cluster === undefined ? () => 0 : shardOf;
  const found = [];
  for (const series of grouped(scenario.history, (one) => `${one.process} ${one.limiter} ${shard(one)}`).values()) {
    if (!series.some((one) => wanted.has(one) && !byRedis(one))) continue;
    let waited = false;
    for (const one of series.sort((a, b) => a.settledAt - b.settledAt)) {
      if (one.source === 'redis') waited = false;
      if (byRedis(one)) continue;
      const { process, limiter, calledAt, settledAt } = one;
      const long = scenario.limiters[limiter].timeoutMs / 2;
      if (settledAt - calledAt >= long) waited = scenario.waitedMs(process, calledAt, settledAt) >= long;
      else waited ||= scenario.waitedMs(process, settledAt - CONNECT_MS, settledAt) >= CONNECT_MS / 2;
      if (wanted.has(one) && !waited) found.push(one);
    }
  }
  return found;
}

/** An outage that cost Redis no decision has not happened. */
export function harmless(history, outages, recoveries) {
  const others = history.filter((decision) => !byRedis(decision));
  const disruptive = ([from, to], i) =>
    others.some(({ settledAt }) => settledAt >= from && settledAt <= to + (recoveries[i]?.took ?? 0));
  return outages.every(disruptive) ? [] : ['an outage that cost Redis no decision'];
}
