// Before and after: a fault has cost Redis decisions, and after it Redis decides, and goes on deciding.

import { byRedis, grouped } from './history.mjs';
import { shardOf } from './shards.mjs';

/** How long traffic goes on after the last recovery, and how many checks every process asks at the least. */
export const SETTLED_MS = 1000;
export const SETTLED = 100;
/** How much of it Redis has to decide. */
const SHARE = 0.95;

/** Who is found again is not lost again. */
export function relapse(scenario) {
  const lost = unexplained(scenario, scenario.settled);
  const share = 1 - lost.length / scenario.settled.length;
  if (share >= SHARE) return [];
  return [
    `Redis decided ${Math.round(share * 100)} % after its return, the rest ${scenario.examples(lost, scenario.settledFrom)}`,
  ];
}

/** A connection has so long to be made (`connectTimeoutMs`). While there is none, checks are decided at once. */
const CONNECT_MS = 1000;

/**
 * Decisions that were not Redis's, and not for want of a processor. That is the reason if the process, the servers and the suite waited
 * for one for half of the time that there is: of a check, its deadline, while it was in flight; of one that was decided at once, the time
 * that a connection has to be made, just before. Where Redis had been given up, it is that of the one before: of the same process,
 * limiter and shard, and since Redis decided there last.
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

/** Outages that cost Redis no decision have not happened. */
export function harmless(history, outages, recoveries) {
  const others = history.filter((decision) => !byRedis(decision));
  const disruptive = ([from, to], i) =>
    others.some(({ settledAt }) => settledAt >= from && settledAt <= to + (recoveries[i]?.took ?? 0));
  return outages.every(disruptive) ? [] : ['an outage that cost Redis no decision'];
}
