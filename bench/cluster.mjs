// A Redis Cluster for the benchmark, on loopback: three primaries and no replicas, which would use some of the
// machine's cores.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../scripts/run.mjs';
import { freePort, startRedis, useAndStop } from './redis.mjs';

const SHARDS = 3;
const SLOTS = 16384;
const MEET_TIMEOUT_MS = 20_000;

/** Runs `use` with a cluster, `{ ports }` of its nodes, which is stopped afterwards in any case. */
export function withCluster(use) {
  return useAndStop(startCluster, use);
}

async function startCluster() {
  // Each node keeps its cluster state in a file.
  const directory = mkdtempSync(join(tmpdir(), 'rate-limit-bench-'));
  const remove = () => rmSync(directory, { recursive: true, force: true });
  process.once('exit', remove);
  const nodes = [];
  const stop = async () => {
    await Promise.all(nodes.map((node) => node.stop()));
    process.off('exit', remove);
    remove();
  };
  try {
    for (let i = 0; i < SHARDS; i++) nodes.push(await startNode(directory, i));
    await formCluster(nodes);
    return { ports: nodes.map(({ port }) => port), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startNode(dir, i) {
  const bus = await freePort();
  const files = { dir, 'cluster-config-file': `node-${i}.conf` };
  const node = await startRedis({ ...files, databases: 1, 'cluster-enabled': 'yes', 'cluster-port': bus });
  return { ...node, bus };
}

/** Assigns slots and a config epoch to each node, and joins it to the first with CLUSTER MEET. */
async function formCluster(nodes) {
  const firstSlot = (i) => Math.round((i * SLOTS) / nodes.length);
  for (const [i, { control }] of nodes.entries()) {
    await control.send('CLUSTER', 'ADDSLOTSRANGE', firstSlot(i), firstSlot(i + 1) - 1);
    await control.send('CLUSTER', 'SET-CONFIG-EPOCH', i + 1);
    if (i > 0) await control.send('CLUSTER', 'MEET', '127.0.0.1', nodes[0].port, nodes[0].bus);
  }
  const start = Date.now();
  while (!(await Promise.all(nodes.map(isHealthy))).every(Boolean)) {
    if (Date.now() - start > MEET_TIMEOUT_MS) throw new Failure('the nodes of the cluster do not find each other');
    await sleep(50);
  }
}

/** Whether a node knows all slot owners and reports the cluster as healthy. */
async function isHealthy({ control }) {
  const [state, slots] = await Promise.all([control.send('CLUSTER', 'INFO'), control.send('CLUSTER', 'SLOTS')]);
  return state.includes('cluster_state:ok') && slots.length === SHARDS;
}
