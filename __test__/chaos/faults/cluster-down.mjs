// F6: a shard of a cluster without its primary and without its replica.

import { healed, others, shardOf, shardRecovery } from '../shards.mjs';
import { Stage } from '../scenario.mjs';
import { now } from '../time.mjs';

const SICK = 1;
const RECOVERED_MS = 5000;
/** Every write is with the kernel before it is acknowledged, and the kernel goes on: nothing that Redis admitted is lost. */
const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'no'];
/** Nodes say that a shard is gone when one of it has been silent for so long. */
const NODE_TIMEOUT_MS = 2000;

export const gone = {
  id: 'F6a',
  title: 'cluster: a shard without primary and replica',
  quick: false,
  async run(context) {
    const { server, stage } = await opened(context);
    const ended = await dies(server, stage, { lastMs: context.quick ? 500 : 2000 });
    await stage.quiet();
    const [outage] = stage.outages;
    others(stage, outage, SICK);
    const meanwhile = stage.between(...outage).filter((decision) => shardOf(decision) === SICK);
    stage.note(`its own ids meanwhile: ${stage.share(meanwhile)}`);
    const { took, running } = shardRecovery(stage, SICK, ended.at);
    stage.note(`it decided again after ${Math.round(took)} ms`);
    stage.must(running <= RECOVERED_MS, `I18: the shard decided again after ${Math.round(running)} ms of running`);
    return stage.finish();
  },
};

export const down = {
  id: 'F6b',
  title: 'CLUSTERDOWN: no shard serves while one is away',
  quick: false,
  async run(context) {
    const { server, stage } = await opened(context, { nodeTimeoutMs: NODE_TIMEOUT_MS });
    await server.sendAll(server.cluster.ports, 'CONFIG', 'SET', 'cluster-require-full-coverage', 'yes');
    await dies(server, stage, { until: stage.told('CLUSTERDOWN') });
    await stage.quiet();
    stage.must(stage.failedWith('CLUSTERDOWN') > 0, 'nobody was told CLUSTERDOWN');
    stage.noteCodes();
    return stage.finish();
  },
};

async function opened(context, options) {
  const server = await context.cluster({ options: DURABLE, ...options });
  return { server, stage: await Stage.open(context, { server }) };
}

/** Both nodes are killed and come back; when the shard served again is `at`. */
async function dies({ cluster }, stage, how) {
  const [primary, replica] = [await cluster.primary(SICK), await cluster.replica(SICK)];
  const ended = {};
  await stage.outage('both are killed', {
    begin: async () => {
      // A replica that is there would take over, and may lack the last writes.
      await cluster.kill(replica);
      await cluster.kill(primary);
    },
    ...how,
    returns: async () => {
      await cluster.restart(primary);
      ended.at = now();
    },
  });
  await healed(stage, SICK);
  await cluster.restart(replica);
  return ended;
}
