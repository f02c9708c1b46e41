// What a fault of one shard does to it and to the others. Slots are those of the start.

import servers from '../servers/index.cjs';
import { now, until } from './time.mjs';

const { SHARDS, SLOTS, slotOf } = servers;

/** Until then connections are opened. */
const STARTED_MS = 400;

const byRedis = ({ source }) => source === 'redis' || source === 'deny-cache';

/** The slot of a decision's log. Ids of the suite have nothing that is escaped. */
export const slotOfId = (limiter, id) => slotOf(`{${limiter}:${id}}`);

export const shardOf = ({ limiter, id }) => Math.floor((slotOfId(limiter, id) * SHARDS) / SLOTS);

/** Every decision of a stretch is Redis's, but while the process that asked or a healthy node stood still. `of` picks some. */
export function undisturbed(stage, [from, to], of = () => true) {
  const stood = ({ process, calledAt, settledAt }) =>
    stage.records[process].stalls.some(([begin, end]) => begin < settledAt && end > calledAt) ||
    stage.server.heartbeat.failed(calledAt, settledAt);
  const otherwise = (decision) => !byRedis(decision) && !stood(decision);
  const all = stage.between(from, to).filter(of);
  const others = all.filter(otherwise);
  stage.must(all.length > 0, 'nobody asked the healthy shards');
  if (others.length > 0) {
    // Where that is so before anything has happened, the machine is too busy to tell.
    const before = stage.between(stage.startedAt + STARTED_MS, stage.outages[0][0]).filter(of);
    const then = `${before.filter(otherwise).length} of ${before.length} before`;
    const when = others.slice(0, 3).map(({ limiter, id, calledAt, settledAt, source }) => {
      const [at, took] = [calledAt - from, settledAt - calledAt].map(Math.round);
      return `${limiter}:${id} by ${source} at ${at} ms, after ${took} ms`;
    });
    stage.must(
      false,
      `healthy: ${others.length} of ${all.length} were not decided by Redis, ${then}: ${stage.share(others)}, as ${when.join('; ')}`,
    );
  }
  return all;
}

/** The shards other than `sick` decide all the while, and about as fast as before. */
export function others(stage, [from, to], sick) {
  const healthy = (decision) => shardOf(decision) !== sick;
  const meanwhile = undisturbed(stage, [from, to], healthy);
  const before = stage.between(stage.startedAt + STARTED_MS, stage.outages[0][0]).filter(healthy);
  stage.note(`the other shards: ${meanwhile.length} decisions; p99 ${p99(meanwhile)} ms, before ${p99(before)} ms`);
}

/** I18: seconds. */
const HEALED_MS = 5000;

/** Waits until that shard decides again in every process and for every policy; the others may have done so all the while. */
export async function healed(stage, shard) {
  const since = now();
  for (const limiter of Object.keys(stage.limiters)) {
    const decides = async () => {
      const answers = await stage.all('check', { limiter, id: freshId(limiter, shard) });
      return answers.every(({ source }) => source === 'redis');
    };
    stage.must(await until(HEALED_MS, decides, 50), `I18: shard ${shard} does not decide again within ${HEALED_MS} ms`);
  }
  stage.context.step(`shard ${shard} decides again after ${Math.round(now() - since)} ms`);
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

/** How long it took after `since` until every process had been answered by that shard. */
export function shardRecovery(stage, shard, since) {
  const first = new Map();
  for (const decision of stage.history) {
    if (decision.source !== 'redis' || decision.calledAt < since || shardOf(decision) !== shard) continue;
    first.set(decision.process, Math.min(first.get(decision.process) ?? Infinity, decision.settledAt));
  }
  return first.size < stage.callers.length ? Infinity : Math.max(...first.values()) - since;
}

function p99(decisions) {
  const took = Float64Array.from(
    decisions.filter(({ source }) => source === 'redis'),
    (d) => d.settledAt - d.calledAt,
  );
  return took.sort()[Math.floor(took.length * 0.99)]?.toFixed(1) ?? '-';
}
