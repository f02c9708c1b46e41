// F4: cluster nodes redirect a request in a circle, or to an unreachable node.

import servers from '../../servers/index.cjs';
import { waitForShard, otherShardsUnaffected, shardOf, slotOfId, allByRedis } from '../shards.mjs';
import { Scenario } from '../scenario.mjs';
import { eventually } from '../time.mjs';

const { idOf } = servers;
const FAULTY = 1;
const COUNT = 8;

export const circular = {
  id: 'F4a',
  title: 'cluster: MOVED and ASK in a circle',
  quick: false,
  async run(context) {
    const server = await context.cluster();
    const { cluster } = server;
    const scenario = await Scenario.open(context, { server });
    const [from, to] = [await cluster.primary(FAULTY), await cluster.primary(2)];
    const idAt = (port) => idOf(cluster.ports.indexOf(port));
    const loops = {
      'the owner says MOVED to one that says MOVED back': ['NODE', idAt(to)],
      'the owner says ASK at one that says MOVED back': ['MIGRATING', idAt(to)],
    };
    const circled = [];
    for (const [what, state] of Object.entries(loops)) {
      const { id, slot } = await unused(scenario, from);
      circled.push(id);
      await scenario.outage(what, {
        begin: async () => {
          await cluster.send(from, 'CLUSTER', 'SETSLOT', slot, ...state);
          const admitted = await scenario.all('burst', { limiter: 'throw', id, count: COUNT });
          scenario.must(!admitted.some(Boolean), `${what}: ${admitted} were admitted without a server`);
        },
        end: () => cluster.send(from, 'CLUSTER', 'SETSLOT', slot, 'NODE', idAt(from)),
      });
      const admitted = await scenario.all('burst', { limiter: 'throw', id, count: 1 });
      scenario.must(
        admitted.every((count) => count === 1),
        `${what}: ${admitted} admitted when it is over`,
      );
    }
    await scenario.stopTraffic();
    for (const outage of scenario.outages) allByRedis(scenario, outage, ({ id }) => !circled.includes(id));
    scenario.noteCodes();
    return scenario.finish();
  },
};

export const unroutable = {
  id: 'F4b',
  title: 'cluster: a node goes by a name that leads nowhere',
  quick: false,
  async run(context) {
    const server = await context.cluster({ hostNames: 'localhost' });
    const { cluster } = server;
    // A connected process, or one that has cached the address of the node, resolves no name.
    const scenario = await Scenario.open(context, { server, disruptive: false });
    const port = await cluster.primary(FAULTY);
    const known = (name) => async () => {
      const seen = await server.sendAll(cluster.ports, 'CLUSTER', 'SLOTS');
      return seen.every((ranges) => JSON.stringify(ranges).includes(`["${name}",${port},`));
    };
    const called = async (name) => {
      await cluster.send(port, 'CONFIG', 'SET', 'cluster-announce-hostname', name);
      await eventually(`the nodes learn that ${port} is called ${name}`, known(name));
    };
    await scenario.outage('nowhere.invalid', {
      begin: async () => {
        await called('nowhere.invalid');
        await server.killClients([port]);
      },
      lastMs: 1000,
      end: () => called('localhost'),
    });
    await waitForShard(scenario, FAULTY);
    await scenario.stopTraffic();
    const [outage] = scenario.outages;
    otherShardsUnaffected(scenario, outage, FAULTY);
    scenario.note(
      `its own ids: ${scenario.share(scenario.between(...outage).filter((one) => shardOf(one) === FAULTY))}`,
    );
    scenario.noteCodes();
    return scenario.finish();
  },
};

/** An id whose slot is at that node and has no other id: traffic continues there. */
async function unused(scenario, port) {
  const { cluster } = scenario.server;
  const asked = new Set(scenario.ids().map(([limiter, id]) => slotOfId(limiter, id)));
  for (let n = 0; ; n++) {
    const [id, slot] = [`circle-${n}`, slotOfId('throw', `circle-${n}`)];
    if (asked.has(slot) || cluster.ports[await cluster.shardOf(slot)] !== port) continue;
    if ((await cluster.send(port, 'CLUSTER', 'COUNTKEYSINSLOT', slot)) === 0) return { id, slot };
  }
}
