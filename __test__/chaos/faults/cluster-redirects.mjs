// F4: nodes of a cluster that send a request in a circle, or to where nobody is.

import servers from '../../servers/index.cjs';
import { healed, others, shardOf, slotOfId, undisturbed } from '../shards.mjs';
import { Stage } from '../scenario.mjs';
import { eventually } from '../time.mjs';

const { idOf } = servers;
const SICK = 1;
const COUNT = 8;

export const circular = {
  id: 'F4a',
  title: 'cluster: MOVED and ASK in a circle',
  quick: false,
  async run(context) {
    const server = await context.cluster();
    const { cluster } = server;
    const stage = await Stage.open(context, { server });
    const [from, to] = [await cluster.primary(SICK), await cluster.primary(2)];
    const idAt = (port) => idOf(cluster.ports.indexOf(port));
    const ways = {
      'the owner says MOVED to one that says MOVED back': ['NODE', idAt(to)],
      'the owner says ASK at one that says MOVED back': ['MIGRATING', idAt(to)],
    };
    const circled = [];
    for (const [what, state] of Object.entries(ways)) {
      const { id, slot } = await unused(stage, from);
      circled.push(id);
      await stage.outage(what, {
        begin: async () => {
          await cluster.send(from, 'CLUSTER', 'SETSLOT', slot, ...state);
          const admitted = await stage.all('burst', { limiter: 'throw', id, count: COUNT });
          stage.must(!admitted.some(Boolean), `${what}: ${admitted} were admitted by nobody`);
        },
        end: () => cluster.send(from, 'CLUSTER', 'SETSLOT', slot, 'NODE', idAt(from)),
      });
      const admitted = await stage.all('burst', { limiter: 'throw', id, count: 1 });
      stage.must(
        admitted.every((count) => count === 1),
        `${what}: ${admitted} admitted when it is over`,
      );
    }
    await stage.quiet();
    for (const outage of stage.outages) undisturbed(stage, outage, ({ id }) => !circled.includes(id));
    stage.noteCodes();
    return stage.finish();
  },
};

export const unroutable = {
  id: 'F4b',
  title: 'cluster: a node goes by a name that leads nowhere',
  quick: false,
  async run(context) {
    const server = await context.cluster({ hostNames: 'localhost' });
    const { cluster } = server;
    // A process that is connected already, or remembers the node's address, resolves no name.
    const stage = await Stage.open(context, { server, disruptive: false });
    const port = await cluster.primary(SICK);
    const known = (name) => async () => {
      const seen = await server.sendAll(cluster.ports, 'CLUSTER', 'SLOTS');
      return seen.every((ranges) => JSON.stringify(ranges).includes(`["${name}",${port},`));
    };
    const called = async (name) => {
      await cluster.send(port, 'CONFIG', 'SET', 'cluster-announce-hostname', name);
      await eventually(`the nodes learn that ${port} is called ${name}`, known(name));
    };
    await stage.outage('nowhere.invalid', {
      begin: async () => {
        await called('nowhere.invalid');
        await server.killClients([port]);
      },
      lastMs: 1000,
      end: () => called('localhost'),
    });
    await healed(stage, SICK);
    await stage.quiet();
    const [outage] = stage.outages;
    others(stage, outage, SICK);
    stage.note(`its own ids: ${stage.share(stage.between(...outage).filter((one) => shardOf(one) === SICK))}`);
    stage.noteCodes();
    return stage.finish();
  },
};

/** An id whose slot is at that node, and that of no other id: traffic goes on there. */
async function unused(stage, port) {
  const { cluster } = stage.server;
  const asked = new Set(stage.ids().map(([limiter, id]) => slotOfId(limiter, id)));
  for (let n = 0; ; n++) {
    const [id, slot] = [`circle-${n}`, slotOfId('throw', `circle-${n}`)];
    if (asked.has(slot) || cluster.ports[await cluster.shardOf(slot)] !== port) continue;
    if ((await cluster.send(port, 'CLUSTER', 'COUNTKEYSINSLOT', slot)) === 0) return { id, slot };
  }
}
