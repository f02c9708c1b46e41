// The effects of a fault of one shard on it and on the others. Slots are those at the start.

import servers from '../servers/index.cjs';
import { byRedis } from './history.mjs';
import { eventually, now } from './time.mjs';

const { SHARDS, SLOTS, slotOf } = servers;

/** The slot of a decision's log. The suite's ids have no escaped characters. */
export const slotOfId = (limiter, id) => slotOf(`{${limiter}:${id}}`);

export const shardOf = ({ limiter, id }) => Math.floor((slotOfId(limiter, id) * SHARDS) / SLOTS);

/**
 * Every decision of an interval is Redis's, unless a wait for a processor explains it; see recovery.mjs. `of` selects
 * some.
 */
export function allByRedis(scenario, [from, to], of = () => true) {
  const all = scenario.between(from, to).filter(of);
  scenario.must(all.length > 0, 'no check went to the healthy shards');
  const without = all.filter((decision) => !byRedis(decision));
  const others = scenario.unexplained(all);
  if (without.length > 0)
    scenario.note(`${without.length} not decided by Redis, all but ${others.length} while waiting for a processor`);
  scenario.must(
    others.length === 0,
    `healthy: ${others.length} of ${all.length} were not decided by Redis: ${scenario.examples(others, from)}`,
  );
  return all;
}

/**
 * A check of another shard that waits for the faulty one takes its whole deadline, some hundred times as long as
 * before. New connections, and traffic that moves between processors, account for two or three times.
 */
const SLOWER = 20;
/** The least latency that counts as before: on a busy machine, scheduling delays may explain all of a latency. */
const FAST_MS = 1;

/** The shards other than `faulty` decide throughout, and about as fast as before the first fault. */
export function otherShardsUnaffected(scenario, [from, to], faulty) {
  const healthy = (decision) => shardOf(decision) !== faulty;
  const meanwhile = allByRedis(scenario, [from, to], healthy);
  const before = scenario.between(scenario.startedAt, scenario.outages[0][0]).filter(healthy);
  const [took, tookBefore] = [meanwhile, before].map((decisions) => latencies(scenario, decisions));
  const figures = (latencies) =>
    `p50 ${quantile(latencies, 0.5).toFixed(1)}, p99 ${quantile(latencies, 0.99).toFixed(1)} ms`;
  const latencyText = `${figures(took)}, before ${figures(tookBefore)}`;
  scenario.note(`the other shards: ${meanwhile.length} decisions; ${latencyText}`);
  const asFast = quantile(took, 0.5) <= SLOWER * Math.max(FAST_MS, quantile(tookBefore, 0.5));
  scenario.must(asFast, `healthy: more than ${SLOWER} times as slow as before at the median: ${latencyText}`);
}

/** The sorted latencies of the checks of a shard, without scheduling delays. */
function latencies(scenario, decisions) {
  const running = ({ process, calledAt, settledAt }) =>
    settledAt - calledAt - scenario.waitedMs(process, calledAt, settledAt);
  return Float64Array.from(
    decisions.filter(({ source }) => source !== 'deny-cache'),
    running,
  ).sort();
}

function quantile(sorted, share) {
  return sorted[Math.floor(sorted.length * share)] ?? NaN;
}

/** I18: Redis decides again within this time after its return. */
const RECOVERY_MS = 5000;

/**
 * Waits until the shard decides again in every process and for every policy; the others may never have stopped. The
 * duration is judged at the end: see `slowShardRecoveries`.
 */
export async function waitForShard(scenario, shard) {
  const since = now();
  const process = async (child, i) => {
    for (const limiter of scenario.names) await answered(child, limiter, shard);
    scenario.shardRecoveries.push({ shard, process: i, from: since, to: now() });
  };
  await Promise.all(scenario.processes.map(process));
  scenario.context.step(`shard ${shard} decides again after ${Math.round(now() - since)} ms`);
}

/** Waits until the shard decides for a limiter in a process. */
export function answered(child, limiter, shard) {
  return eventually(`shard ${shard} decides again`, async () => {
    const { source } = await child.ask('check', { limiter, id: freshId(limiter, shard) });
    return source === 'redis';
  });
}

/** I18 of every shard recovery. */
export function slowShardRecoveries(scenario) {
  return scenario.shardRecoveries.flatMap(({ shard, process, from, to }) => {
    const running = to - from - scenario.waitedMs(process, from, to);
    const ms = [to - from, running].map(Math.round);
    return running > RECOVERY_MS ? [`shard ${shard} decided again after ${ms[0]} ms, ${ms[1]} ms of running`] : [];
  });
}

/** Waits for every shard, if there are shards. */
export async function waitForAllShards(scenario) {
  if (scenario.server.cluster === undefined) return;
  for (let shard = 0; shard < SHARDS; shard++) await waitForShard(scenario, shard);
}

let fresh = 0;

function freshId(limiter, shard) {
  for (;;) {
    const id = `fresh-${fresh++}`;
    if (shardOf({ limiter, id }) === shard) return id;
  }
}

/** The time after `since` until the shard had answered every process, as `scenario.decided` returns it. */
export function shardRecovery(scenario, shard, since) {
  const asked = (decision) => decision.calledAt >= since && shardOf(decision) === shard;
  return scenario.decided(since, asked, ({ process }) => process);
}
