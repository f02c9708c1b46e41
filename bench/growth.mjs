// npm run bench:growth: the cost of a check by the number of creators, limits and checks, and the growth of memory.
// This package alone, on one Redis of its own, about six minutes.
//
//   --scale=1          the share of the work: 0.1 is a trial run
//   --no-build         the addon as it is
//   --out=bench/results

import { parseArgs } from 'node:util';
import { build } from '../scripts/build.mjs';
import { redisServer } from '../scripts/redis-server.mjs';
import { runIfMain } from '../scripts/run.mjs';
import { onRedis } from './contenders/index.mjs';
import { install } from './install.mjs';
import { measureInChild } from './measure/child-process.mjs';
import { withRedis } from './redis.mjs';
import { growthReport } from './report/growth.mjs';
import { machine } from './report/machine.mjs';
import { growthProgressLine } from './report/progress.mjs';
import { writeResults } from './report/results.mjs';

const CREATORS = [1e3, 1e4, 1e5, 1e6];
const LIMITS = [10, 100, 1000, 10_000, 100_000];
const SOAK_CHECKS = 10_000_000;

/** A slow machine ends its soak early: six minutes in all. */
const SOAK_SECONDS = 220;

async function growth(...args) {
  const { values } = parseArgs({
    args,
    options: {
      scale: { type: 'string', default: '1' },
      out: { type: 'string', default: 'bench/results' },
      'no-build': { type: 'boolean' },
    },
  });
  const scale = Number(values.scale);
  install();
  if (!values['no-build']) build();
  redisServer();
  const [contender] = onRedis;
  const measurements = [];
  const version = await withRedis(async (redis) => {
    for (const { kind, ...job } of jobs(scale)) {
      const figures = await measureInChild(kind, { contender, port: redis.port, ...job });
      measurements.push({ kind, ...job, ...figures });
      console.log(growthProgressLine(measurements.at(-1)));
    }
    return redis.version;
  });
  const results = {
    command: 'npm run bench:growth',
    date: new Date().toISOString(),
    scale,
    machine: machine(version),
    measurements,
  };
  writeResults(values.out, 'growth.json', 'growth.md', results, growthReport(results));
  // The drawing packages are installed with the peers.
  const { drawGrowth } = await import('./report/growth-charts.mjs');
  drawGrowth(values.out, measurements);
  console.log(`\nResults are in ${values.out}/growth.md`);
}

function jobs(scale) {
  return [
    ...CREATORS.map((creators) => ({
      kind: 'growth-creators',
      creators: Math.ceil(creators * scale),
      seconds: 2 * scale,
    })),
    ...['allowed', 'denied'].flatMap((traffic) =>
      LIMITS.map((limit) => ({ kind: 'growth-limits', traffic, limit, seconds: 4 * scale })),
    ),
    { kind: 'growth-soak', asked: SOAK_CHECKS * scale, seconds: SOAK_SECONDS * scale },
  ];
}

await runIfMain(import.meta.url, growth);
