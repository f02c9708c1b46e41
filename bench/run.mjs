// npm run bench: this package and its peers, in one run on one Redis of its own, and on a Redis Cluster. About twenty
// minutes.
//
//   --rounds=5                      the number of rounds; the results are medians
//   --seconds=2                     the length of a measured interval
//   --only=throughput,denials,memory,bytes,accuracy,cluster,shapes
//   --contenders=huntaze,ioredis-lua,...   by their ids in contenders/index.mjs
//   --no-build                      the addon as it is
//   --out=bench/results             the folder of the results; by default a partial run writes none

import { build } from '../scripts/build.mjs';
import { redisServer } from '../scripts/redis-server.mjs';
import { runIfMain } from '../scripts/run.mjs';
import { withCluster } from './cluster.mjs';
import { install } from './install.mjs';
import { measureInChild } from './measure/child-process.mjs';
import { optionsOf } from './options.mjs';
import { concurrentJobs, needsCluster, roundJobs } from './plan.mjs';
import { withRedis } from './redis.mjs';
import { ratioTable, readme } from './report/bench.mjs';
import { PEERS, machine } from './report/machine.mjs';
import { progressLine } from './report/progress.mjs';
import { ratiosOf } from './report/ratios.mjs';
import { writeResults } from './report/results.mjs';

async function bench(...args) {
  const { command, out, build: builds, ...options } = optionsOf(args);
  install();
  if (builds) build();
  redisServer();
  const { version, measurements } = await withRedis(async (redis) => ({
    version: redis.version,
    measurements: await measureOnServers(redis, options),
  }));
  const ratios = ratiosOf(measurements);
  console.log(`\n${ratioTable(ratios)}`);
  if (out === undefined) return;
  const { rounds, seconds } = options;
  const results = {
    command,
    date: new Date().toISOString(),
    rounds,
    seconds,
    machine: machine(version, PEERS),
    ratios,
    measurements,
  };
  writeResults(out, 'results.json', 'README.md', results, readme(results));
  // The drawing packages are installed with the peers.
  const { drawBench } = await import('./report/bench-charts.mjs');
  drawBench(out, measurements);
  console.log(`\nResults are in ${out}/README.md`);
}

function measureOnServers(redis, options) {
  if (!needsCluster(options)) return measureAll(redis, options);
  return withCluster(({ ports }) => measureAll({ ...redis, nodes: ports }, options));
}

async function measureAll({ port, nodes, control }, options) {
  const measurements = [];
  const measure = async ({ kind, contender, ...job }, round) => {
    const ports = contender.options?.cluster ? nodes : [port];
    const figures = await measureInChild(kind, { contender, port, ports, ...job });
    const measurement = { kind, round, contender: contender.id, ...job, ...figures };
    console.log(progressLine(measurement, options.rounds));
    measurements.push(measurement);
  };
  for (let round = 0; round < options.rounds; round++) {
    for (const { contenders, ...job } of roundJobs(options)) {
      // The order rotates, because the first contender of a round meets another state of the machine than the last.
      for (const contender of rotated(contenders, round)) await measure({ contender, ...job }, round);
    }
  }
  const concurrent = concurrentJobs(options, await control.time());
  if (concurrent.length > 0) console.log(`${concurrent.length} measurements beside each other, for half a minute`);
  await Promise.all(concurrent.map((job) => measure(job)));
  return measurements;
}

function rotated(list, by) {
  return list.map((_, i) => list[(i + by) % list.length]);
}

await runIfMain(import.meta.url, bench);
