// What a fault of one shard does to it and to the others. Slots are those of the start.

import servers from '../servers/index.cjs';
import { byRedis } from './history.mjs';
import { eventually, now } from './time.mjs';

const { SHARDS, SLOTS, slotOf } = servers;

/** The slot of a decision's log. Ids of the suite have nothing that is escaped. */
export const slotOfId = (limiter, id) => slotOf(`{${limiter}:${id}}`);

export const shardOf = ({ limiter, id }) => Math.floor((slotOfId(limiter, id) * SHARDS) / SLOTS);

/** Every decision of a stretch is Redis's, but where a processor was waited for; see recovery.mjs. `of` picks some. */
export function undisturbed(stage, [from, to], of = () => true) {
  const all = stage.between(from, to).filter(of);
  stage.must(all.length > 0, 'nobody asked the healthy shards');
  const without = all.filter((decision) => !byRedis(decision));
  const others = stage.unexplained(all);
  if (without.length > 0)
    stage.note(`${without.length} not decided by Redis, all but ${others.length} for want of a processor`);
  stage.must(
    others.length === 0,
    `healthy: ${others.length} of ${all.length} were not decided by Redis: ${stage.examples(others, from)}`,
  );
  return all;
}

/**
 * A check of another shard that waits for the sick one takes as long as its deadline, some hundred times as long as before. Connections
 * that are opened anew, and traffic that moves between processors, make it two or three times.
 */
const SLOWER = 20;
/** At the least so much counts as before: on a busy machine, all that a check took may have been waits. */
const FAST_MS = 1;

/** The shards other than `sick` decide all the while, and about as fast as before the first fault. */
export function others(stage, [from, to], sick) {
  const healthy = (decision) => shardOf(decision) !== sick;
  const meanwhile = undisturbed(stage, [from, to], healthy);
  const before = stage.between(stage.startedAt, stage.outages[0][0]).filter(healthy);
  const [took, tookBefore] = [meanwhile, before].map((decisions) => latencies(stage, decisions));
  const figures = (latencies) =>
    `p50 ${quantile(latencies, 0.5).toFixed(1)}, p99 ${quantile(latencies, 0.99).toFixed(1)} ms`;
  const told = `${figures(took)}, before ${figures(tookBefore)}`;
  stage.note(`the other shards: ${meanwhile.length} decisions; ${told}`);
  const asFast = quantile(took, 0.5) <= SLOWER * Math.max(FAST_MS, quantile(tookBefore, 0.5));
  stage.must(asFast, `healthy: more than ${SLOWER} times as slow as before at the median: ${told}`);
}

/** How long checks took that went to a shard, without what was waited for; sorted. */
function latencies(stage, decisions) {
  const running = ({ process, calledAt, settledAt }) =>
    settledAt - calledAt - stage.waitedMs(process, calledAt, settledAt);
  return Float64Array.from(
    decisions.filter(({ source }) => source !== 'deny-cache'),
    running,
  ).sort();
}

function quantile(sorted, share) {
  return sorted[Math.floor(sorted.length * share)] ?? NaN;
}

/** I18: seconds. */
const HEALED_MS = 5000;

/** Waits until that shard decides again in every process and for every policy; the others may have done so all the while. How long it
 *  took is judged at the end: see `slowToHeal`. */
export async function healed(stage, shard) {
  const since = now();
  const process = async (caller, i) => {
    for (const limiter of stage.names) await answered(caller, limiter, shard);
    stage.healings.push({ shard, process: i, from: since, to: now() });
  };
  await Promise.all(stage.callers.map(process));
  stage.context.step(`shard ${shard} decides again after ${Math.round(now() - since)} ms`);
}

/** Waits until the shard decides for a limiter in a process. */
export function answered(caller, limiter, shard) {
  return eventually(`shard ${shard} decides again`, async () => {
    const { source } = await caller.ask('check', { limiter, id: freshId(limiter, shard) });
    return source === 'redis';
  });
}

/** I18 of every shard that was waited for. */
export function slowToHeal(stage) {
  return stage.healings.flatMap(({ shard, process, from, to }) => {
    const running = to - from - stage.waitedMs(process, from, to);
    const ms = [to - from, running].map(Math.round);
    return running > HEALED_MS ? [`shard ${shard} decided again after ${ms[0]} ms, ${ms[1]} ms of running`] : [];
  });
}

/** The same for every shard, where there are shards. */
export async function healedEverywhere(stage) {
  if (stage.server.cluster === undefined) return;
  for (let shard = 0; shard < SHARDS; shard++) await healed(stage, shard);
}

let fresh = 0;

function freshId(limiter, shard) {
  for (;;) {
    const id = `fresh-${fresh++}`;
    if (shardOf({ limiter, id }) === shard) return id;
  }
}

/** How long it took after `since` until every process had been answered by that shard, as `stage.decided` says it. */
export function shardRecovery(stage, shard, since) {
  const asked = (decision) => decision.calledAt >= since && shardOf(decision) === shard;
  return stage.decided(since, asked, ({ process }) => process);
}
