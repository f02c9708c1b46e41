// This package's performance targets relative to its peers, and the results of a run. A ratio is taken within a round,
// where both sides met the same machine; the median of the rounds counts.

import { javascriptClients } from '../contenders/index.mjs';
import { summaryOf, select, summary } from './statistics.mjs';

const at200 = (contender) => ({ kind: 'throughput', inFlight: 200, contender });
const alone = (contender) => ({ kind: 'throughput', inFlight: 1, contender });
const onCluster = (contender) => ({ kind: 'cluster', inFlight: 200, contender });
const denials = (contender) => ({ kind: 'denials', contender });
const memory = (contender) => ({ kind: 'memory', traffic: 'allowed', inFlight: 200, contender });
const memoryAlone = (contender) => ({ ...memory(contender), inFlight: 1 });

const targets = [
  ['checks/s at 200 in flight, vs ioredis + Lua', 'perSecond', at200('huntaze'), at200('ioredis-lua'), { atLeast: 4 }],
  [
    'checks/s at 200 in flight, vs rate-limiter-flexible',
    'perSecond',
    at200('huntaze'),
    at200('flexible'),
    { atLeast: 3.5 },
  ],
  [
    'checks/s at 200 in flight, vs the module being replaced',
    'perSecond',
    at200('huntaze'),
    at200('replaced'),
    { atLeast: 12 },
  ],
  [
    'CPU of the process at 200 in flight, vs ioredis + Lua',
    'cpuMicros',
    at200('huntaze'),
    at200('ioredis-lua'),
    { atMost: 0.18 },
  ],
  [
    'CPU of Redis at 200 in flight, vs ioredis + Lua',
    'redisMicros',
    at200('huntaze'),
    at200('ioredis-lua'),
    { atMost: 0.2 },
  ],
  [
    'p50 with one in flight, vs the best JavaScript client',
    'p50',
    alone('huntaze'),
    (measurements) =>
      best(
        javascriptClients.map(({ id }) => alone(id)),
        'p50',
        measurements,
      ),
    { atMost: 1 },
  ],
  [
    'denials/s as a thrown RateLimitError, vs ioredis + Lua',
    'perSecond',
    denials('huntaze-check'),
    denials('ioredis-lua'),
    { atLeast: 4 },
  ],
  [
    'denials/s through limit(), vs ioredis + Lua',
    'perSecond',
    denials('huntaze-limit'),
    denials('ioredis-lua'),
    { atLeast: 10 },
  ],
  [
    'checks/s in memory, 200 in flight, vs RateLimiterMemory',
    'perSecond',
    memory('huntaze'),
    memory('flexible'),
    { atLeast: 1 },
  ],
  [
    'checks/s in memory, one in flight, vs RateLimiterMemory',
    'perSecond',
    memoryAlone('huntaze'),
    memoryAlone('flexible'),
    { atLeast: 1 },
  ],
  [
    'CPU of the process on a cluster at 200 in flight, vs one Redis',
    'cpuMicros',
    onCluster('huntaze-cluster'),
    onCluster('huntaze-one'),
    { atMost: 2 },
  ],
  [
    "checks/s on a cluster at 200 in flight, vs ioredis' cluster client + Lua",
    'perSecond',
    onCluster('huntaze-cluster'),
    onCluster('ioredis-lua-cluster'),
    { atLeast: 2 },
  ],
];

/** `[{ name, target, median, min, max, reached }]` of the measurements. */
export function ratiosOf(measurements) {
  const ratios = targets.map(([name, field, ours, peer, target]) => {
    const theirs = typeof peer === 'function' ? peer(measurements) : peer;
    const valueIn = (round, properties) => select(measurements, { ...properties, round })[0]?.[field];
    const rounds = [...new Set(select(measurements, ours).map(({ round }) => round))];
    const values = rounds.flatMap((round) => {
      const other = valueIn(round, theirs);
      return other === undefined ? [] : [valueIn(round, ours) / other];
    });
    return { name, target, ...summary(values) };
  });
  return [...ratios, bytesRatio(measurements), accuracy(measurements)]
    .filter((ratio) => ratio?.median !== undefined)
    .map((ratio) => ({ ...ratio, reached: reached(ratio.median, ratio.target) }));
}

/** The peer with the lowest median: the lowest of a single round may be another peer by chance. */
function best(peers, field, measurements) {
  const median = (peer) => summaryOf(measurements, peer, field)?.median ?? Infinity;
  return peers.reduce((a, b) => (median(b) < median(a) ? b : a));
}

function bytesRatio(measurements) {
  const logOf = (contender) =>
    select(measurements, { kind: 'bytes', contender })[0]?.logs.find(({ limit }) => limit === 500);
  const [ours, theirs] = [logOf('huntaze'), logOf('replaced')];
  if (!ours || !theirs) return undefined;
  const sortedSet = theirs.keys.find(({ type }) => type === 'zset').bytes;
  const name = 'bytes of a full log of 500, vs the sorted set of the module being replaced';
  return { name, target: { atMost: 0.09 }, ...summary([ours.bytes / sortedSet]) };
}

/** The share of bursts decided exactly. In a sum of admissions, excess and missing ones would cancel each other out. */
function accuracy(measurements) {
  const [trace] = select(measurements, { kind: 'accuracy', contender: 'huntaze' });
  return (
    trace && {
      name: 'share of bursts decided as by an exact log',
      target: { atLeast: 1 },
      ...summary([trace.exact / trace.judged]),
    }
  );
}

function reached(value, { atLeast = -Infinity, atMost = Infinity }) {
  return value >= atLeast && value <= atMost;
}
