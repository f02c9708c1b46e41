// F6: a shard of a cluster without its primary and without its replica.

import { healed, others, shardOf, shardRecovery } from '../shards.mjs';
import { Stage } from '../stage.mjs';
import { now } from '../time.mjs';

const SICK = 1;
const RECOVERED_MS = 5000;
/** Every write is with the kernel before it is acknowledged, and the kernel goes on: nothing that Redis admitted is lost. */
const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'no'];
const STREAMS = { thinkMs: 50 };

export const gone = {
  id: 'F6a',
  title: 'cluster: a shard without primary and replica',
  quick: true,
  async run(context) {
    const { server, stage } = await opened(context);
    const ended = await dies(server, stage, context.quick ? 1500 : 4000);
    await stage.quiet();
    const [outage] = stage.outages;
    others(stage, outage, SICK);
    const meanwhile = stage.between(...outage).filter((decision) => shardOf(decision) === SICK);
    stage.note(`its own ids meanwhile: ${stage.share(meanwhile)}`);
    const took = shardRecovery(stage, SICK, ended.at);
    stage.note(`it decided again after ${Math.round(took)} ms`);
    stage.must(took <= RECOVERED_MS, `I18: the shard decided again after ${Math.round(took)} ms`);
    return stage.finish();
  },
};

export const down = {
  id: 'F6b',
  title: 'CLUSTERDOWN: no shard serves while one is away',
  quick: false,
  async run(context) {
    const { server, stage } = await opened(context);
    await server.sendAll(server.cluster.ports, 'CONFIG', 'SET', 'cluster-require-full-coverage', 'yes');
    await dies(server, stage, 4000);
    await stage.quiet();
    stage.must(stage.failedWith('CLUSTERDOWN') > 0, 'nobody was told CLUSTERDOWN');
    stage.noteCodes();
    return stage.finish();
  },
};

async function opened(context) {
  const server = await context.cluster({ options: DURABLE });
  return { server, stage: await Stage.open(context, { server, streams: STREAMS }) };
}

/** Both nodes are killed and come back; when the shard served again is `at`. */
async function dies({ cluster }, stage, lastMs) {
  const [primary, replica] = [await cluster.primary(SICK), await cluster.replica(SICK)];
  const ended = {};
  await stage.outage('both are killed', {
    begin: async () => {
      // A replica that is there would take over, and may lack the last writes.
      await cluster.kill(replica);
      await cluster.kill(primary);
    },
    lastMs,
    end: () => {},
    returns: async () => {
      await cluster.restart(primary);
      ended.at = now();
    },
  });
  await healed(stage, SICK);
  await cluster.restart(replica);
  return ended;
}
