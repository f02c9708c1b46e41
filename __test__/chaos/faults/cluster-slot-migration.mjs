// F5: slots migrate under traffic: completely, and held half-way.

import { slotOfId, allByRedis } from '../shards.mjs';
import { Scenario } from '../scenario.mjs';

const SHARDS = 3;

export const live = {
  id: 'F5a',
  title: 'cluster: slots move under traffic',
  quick: true,
  async run(context) {
    const server = await context.cluster();
    const { cluster } = server;
    const scenario = await Scenario.open(context, { server, disruptive: false });
    // The slots of the most requested ids, and some of the others.
    const hot = Object.keys(scenario.limiters).flatMap((limiter) =>
      [0, 1, 2].map((n) => slotOfId(limiter, `hot-${n}`)),
    );
    const cold = Array.from({ length: context.quick ? 10 : 40 }, (_, n) => slotOfId('local', `cold-${n}`));
    const slots = [...new Set([...hot, ...cold])];
    for (const [what, by] of [
      ['to the next shard', 1],
      ['and back', SHARDS - 1],
    ]) {
      await scenario.outage(`${slots.length} slots move ${what}`, {
        begin: async () => {
          for (const slot of slots) await cluster.migrate(slot, ((await cluster.shardOf(slot)) + by) % SHARDS);
        },
      });
    }
    await scenario.stopTraffic();
    const [[from], [, to]] = [scenario.outages[0], scenario.outages.at(-1)];
    const all = allByRedis(scenario, [from, to]);
    scenario.note(`${all.length} checks while ${2 * slots.length} slots moved`);
    return scenario.finish();
  },
};

export const halfWay = {
  id: 'F5b',
  title: 'cluster: ASK and TRYAGAIN, slots held half way',
  quick: false,
  async run(context) {
    const server = await context.cluster();
    const { cluster } = server;
    // Four ids of one slot for each limiter: in one batch they get TRYAGAIN while some of them have migrated.
    const ids = Object.fromEntries(['local', 'closed', 'throw'].map((limiter) => [limiter, ofOneSlot(limiter, 4)]));
    const scenario = await Scenario.open(context, { server, streams: { ids }, disruptive: false });
    const slots = Object.entries(ids).map(([limiter, [id]]) => slotOfId(limiter, id));
    for (const [what, count] of [
      ['none of their keys has left', 0],
      ['half of their keys have left', 2],
      ['all of their keys have left', 4],
    ]) {
      let moving;
      await scenario.outage(what, {
        begin: async () => {
          const to = async (slot) => ((await cluster.shardOf(slot)) + 1) % SHARDS;
          moving = await Promise.all(slots.map(async (slot) => cluster.importing(slot, await to(slot))));
          if (count > 0) for (const one of moving) await one.keys(count);
        },
        lastMs: 500,
        end: async () => {
          for (const one of moving) await one.finish();
        },
      });
    }
    await scenario.stopTraffic();
    const held = new Set(Object.values(ids).flat());
    // Other slots of the same shards are unaffected.
    for (const outage of scenario.outages) allByRedis(scenario, outage, ({ id }) => !held.has(id));
    const meanwhile = scenario.outages.map(([from, to]) =>
      scenario.share(scenario.between(from, to).filter(({ id }) => held.has(id))),
    );
    scenario.note(`the ids in migration: ${meanwhile.join('; ')}`);
    scenario.noteCodes();
    return scenario.finish();
  },
};

function ofOneSlot(limiter, count) {
  const bySlot = new Map();
  for (let n = 0; ; n++) {
    const slot = slotOfId(limiter, `one-${n}`);
    const list = bySlot.get(slot) ?? [];
    bySlot.set(slot, [...list, `one-${n}`]);
    if (list.length + 1 === count) return bySlot.get(slot);
  }
}
