// The measurements on a Redis Cluster, and their projection to more shards than this machine has cores.

import { cpus } from 'node:os';
import { onCluster, shapes } from '../contenders/index.mjs';
import { count, significant } from './number-format.mjs';
import { summaryOf, select, spread } from './statistics.mjs';
import { table } from './table.mjs';

const SHARDS = [1, 3, 6, 12, 24];

export function cluster(measurements) {
  const all = select(measurements, { kind: 'cluster' });
  const concurrencies = [...new Set(all.map(({ inFlight }) => inFlight))];
  if (concurrencies.length === 0) return [];
  return [
    '## On a Redis Cluster',
    'Three primaries without replicas, plain, on loopback, and the checks of above. Servers is the CPU of all three, a check; script is what the scripts took of it by `INFO commandstats`, which reads a clock: on a machine with too few cores it counts the time for which a server was put aside, too. A call is for the keys of one slot: on a cluster that is one check, but for slots that two creators share.',
    '![CPU a check at 200 in flight, on a cluster](cluster-cpu.svg)',
    ...concurrencies.map((inFlight) => rates(all, inFlight)),
    ...projection(measurements),
  ];
}

function rates(all, inFlight) {
  const of =
    (name, text) =>
    ({ id }) =>
      spread(summaryOf(all, { inFlight, contender: id }, name), text);
  const columns = {
    [`${inFlight.toLocaleString('en')} in flight`]: ({ label }) => label,
    'checks/s': of('perSecond', count),
    'p50, ms': of('p50', significant),
    'p99, ms': of('p99', significant),
    'CPU, us': of('cpuMicros', significant),
    'servers, us': of('redisMicros', significant),
    'script, us': of('scriptMicros', significant),
    'checks a call': ({ id }) => {
      const [{ checks, calls }] = select(all, { inFlight, contender: id });
      return significant(checks / calls);
    },
  };
  const contenders = onCluster.filter(({ id }) => select(all, { inFlight, contender: id }).length > 0);
  return table(columns, contenders);
}

/** The model as text: the cost of a check in the client and in the servers, and the checks that a core can process. */
function projection(measurements) {
  const median = (contender, name) =>
    summaryOf(measurements, { kind: 'cluster', inFlight: 200, contender }, name)?.median;
  const [client, servers] = ['cpuMicros', 'redisMicros'].map((name) => median('huntaze-cluster', name));
  const batches = shapes.filter(({ id }) => select(measurements, { kind: 'shapes', contender: id }).length > 0);
  if (client === undefined || batches.length === 0) return [];
  const perCore = (micros) => 1e6 / micros;
  const cores = cpus().length;
  const here = cores * perCore(client + servers);
  return [
    "## Past this machine's cores",
    'What one core of a server decides depends on what travels together. Here one server at a time has all the work it can do, and commands that were written beforehand (`measure/shapes.mjs`); CPU is that of the server, a check.',
    table(
      {
        'in a round trip': ({ label }) => label,
        'CPU, us': ({ id }) =>
          spread(summaryOf(measurements, { kind: 'shapes', contender: id }, 'redisMicros'), significant),
        'script, us': ({ id }) =>
          spread(summaryOf(measurements, { kind: 'shapes', contender: id }, 'scriptMicros'), significant),
        'checks/s of one core': ({ id }) =>
          count(perCore(summaryOf(measurements, { kind: 'shapes', contender: id }, 'redisMicros').median)),
      },
      batches,
    ),
    `The model: a check is with one shard and touches no other, so what shards do adds up. At 200 in flight on three shards a check took the process ${significant(client)} us and the servers ${significant(servers)} us. The ${cores} cores of this machine pay for ${count(here)} such checks a second, if no other process uses them; measured were ${count(median('huntaze-cluster', 'perSecond'))}. With a core for each shard, and as many for the processes as they need:`,
    table(
      {
        shards: ({ shards }) => `${shards}`,
        'checks/s': ({ checks }) => count(checks),
        'cores of processes': ({ checks }) => significant((checks * client) / 1e6),
      },
      SHARDS.map((shards) => ({ shards, checks: shards * perCore(servers) })),
    ),
    LIMITS,
  ];
}

const LIMITS = [
  '- It shows the work of a check on both sides, and that no step of it is shared by two shards or grows with their number: the slot is a CRC and a table lookup.',
  '- A shard that is to be used to the full needs round trips as large as those measured: some 64 checks in flight for each shard, over all processes. A process with 200 in flight has 67 for each of three shards and 8 for each of 24; the table of round trips says what that costs.',
  '- It is a bound: at full use of a core, the queue grows without end. Half of it is what a shard is planned for.',
  '- It cannot show the network: on loopback a round trip takes no interrupt, no bandwidth and next to no time. Nor TLS, replicas, which take the writes a second time, I/O threads, or the processors of ElastiCache.',
  '- Cores that process and servers share cannot show a shard that has one to itself, with the caches that belong to it.',
  '- One creator is with one shard, whatever their number: no creator is decided faster than by one core.',
].join('\n');
