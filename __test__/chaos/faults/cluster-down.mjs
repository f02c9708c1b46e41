// F6: a shard of a cluster loses both its primary and its replica.

import { waitForShard, otherShardsUnaffected, shardOf, shardRecovery } from '../shards.mjs';
import { Scenario } from '../scenario.mjs';
import { now } from '../time.mjs';

const FAULTY = 1;
const RECOVERED_MS = 5000;
/**
 * Every write reaches the kernel before it is acknowledged, and the kernel keeps running: no admission of Redis is
 * lost.
 */
const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'no'];
/** Nodes mark a shard as failed after one of its nodes was silent for so long. */
const NODE_TIMEOUT_MS = 2000;

export const gone = {
  id: 'F6a',
  title: 'cluster: a shard without primary and replica',
  quick: false,
  async run(context) {
    const { server, scenario } = await opened(context);
    const ended = await killShard(server, scenario, { lastMs: context.quick ? 500 : 2000 });
    await scenario.stopTraffic();
    const [outage] = scenario.outages;
    otherShardsUnaffected(scenario, outage, FAULTY);
    const meanwhile = scenario.between(...outage).filter((decision) => shardOf(decision) === FAULTY);
    scenario.note(`its own ids meanwhile: ${scenario.share(meanwhile)}`);
    const { took, running } = shardRecovery(scenario, FAULTY, ended.at);
    scenario.note(`it decided again after ${Math.round(took)} ms`);
    scenario.must(running <= RECOVERED_MS, `I18: the shard decided again after ${Math.round(running)} ms of running`);
    return scenario.finish();
  },
};

export const down = {
  id: 'F6b',
  title: 'CLUSTERDOWN: no shard serves while one is away',
  quick: false,
  async run(context) {
    const { server, scenario } = await opened(context, { nodeTimeoutMs: NODE_TIMEOUT_MS });
    await server.sendAll(server.cluster.ports, 'CONFIG', 'SET', 'cluster-require-full-coverage', 'yes');
    await killShard(server, scenario, { until: scenario.hasFailedWith('CLUSTERDOWN') });
    await scenario.stopTraffic();
    scenario.must(scenario.failedWith('CLUSTERDOWN') > 0, 'no check failed with CLUSTERDOWN');
    scenario.noteCodes();
    return scenario.finish();
  },
};

async function opened(context, options) {
  const server = await context.cluster({ options: DURABLE, ...options });
  return { server, scenario: await Scenario.open(context, { server }) };
}

/** Kills both nodes and restarts them; `at` of the result is when the shard served again. */
async function killShard({ cluster }, scenario, how) {
  const [primary, replica] = [await cluster.primary(FAULTY), await cluster.replica(FAULTY)];
  const ended = {};
  await scenario.outage('both are killed', {
    begin: async () => {
      // A live replica would be promoted, and may lack the last writes.
      await cluster.kill(replica);
      await cluster.kill(primary);
    },
    ...how,
    returns: async () => {
      await cluster.restart(primary);
      ended.at = now();
    },
  });
  await waitForShard(scenario, FAULTY);
  await cluster.restart(replica);
  return ended;
}
