// The results of a run as bench/results/README.md.

import { denying, inMemory, onRedis, underLoad } from '../contenders/index.mjs';
import { cluster } from './cluster.mjs';
import { bytes, count, percent, significant } from './number-format.mjs';
import { machineTable } from './machine.mjs';
import { summaryOf, select, spread } from './statistics.mjs';
import { table } from './table.mjs';

export function readme({ command, date, rounds, seconds, machine, ratios, measurements }) {
  return (
    [
      '# Benchmark',
      `\`${command}\`, ${date.slice(0, 10)}. Medians of ${rounds} interleaved rounds of ${seconds} s a measurement, and in brackets the lowest and the highest. The raw figures are in [results.json](results.json), the growth with creators and limits in [growth.md](growth.md).`,
      machineTable(machine),
      '## Ratios',
      'This package over a peer, within each round.',
      ratioTable(ratios),
      ...throughput(measurements),
      ...denials(measurements),
      ...memory(measurements),
      ...fullLogs(measurements),
      ...accuracy(measurements),
      ...cluster(measurements),
      ...NOTES,
      '',
    ]
      .join('\n\n')
      .trimEnd() + '\n'
  );
}

export function ratioTable(ratios) {
  return table(
    {
      ratio: ({ name }) => name,
      target: ({ target }) => (target.atLeast === undefined ? `<= ${target.atMost}` : `>= ${target.atLeast}`),
      reached: (ratio) => spread(ratio, significant),
      '': (ratio) => (ratio.reached ? 'reached' : 'short'),
    },
    ratios,
  );
}

function throughput(measurements) {
  const concurrencies = [...new Set(select(measurements, { kind: 'throughput' }).map(({ inFlight }) => inFlight))];
  const tables = concurrencies.map((inFlight) => {
    const of =
      (name, text) =>
      ({ id }) =>
        spread(summaryOf(measurements, { kind: 'throughput', inFlight, contender: id }, name), text);
    const columns = {
      [`${inFlight.toLocaleString('en')} in flight`]: ({ label }) => label,
      'checks/s': of('perSecond', count),
      'p50, ms': of('p50', significant),
      'p99, ms': of('p99', significant),
      'p99.9, ms': of('p999', significant),
      'CPU, us': of('cpuMicros', significant),
      'Redis, us': of('redisMicros', significant),
    };
    return table(columns, withMeasurements(underLoad, measurements, { kind: 'throughput', inFlight }));
  });
  return section(tables, '## Checks that are admitted', [
    '10,000 creators in a shuffled order, limit 100 an hour; no creator asks more than 95 times. CPU is that of the whole process, with every thread of it, and Redis that of the server, a check.',
    '![Checks a second at four concurrencies](throughput.svg)',
    '![CPU a check at 200 in flight](cpu.svg)',
    '![Latency with one check in flight](latency.svg)',
  ]);
}

function denials(measurements) {
  const of =
    (name, text) =>
    ({ id }) =>
      spread(summaryOf(measurements, { kind: 'denials', contender: id }, name), text);
  const columns = {
    '200 in flight': ({ label }) => label,
    'denials/s': of('perSecond', count),
    'CPU, us': of('cpuMicros', significant),
    'Redis, us': of('redisMicros', significant),
  };
  const rows = withMeasurements(denying, measurements, { kind: 'denials' });
  return section(rows.length > 0 ? [table(columns, rows)] : [], '## Checks that are denied', [
    '1,000 creators who have used up a quota of 50 an hour and go on asking. A denial is a thrown `RateLimitError` by `check()`, an object by `limit()`, a rejection by rate-limiter-flexible, and no more than `false` by the others.',
  ]);
}

function memory(measurements) {
  const rows = inMemory
    .flatMap((contender) =>
      ['allowed', 'denied'].flatMap((traffic) =>
        [1, 200].map((inFlight) => ({
          ...contender,
          where: { kind: 'memory', contender: contender.id, traffic, inFlight },
        })),
      ),
    )
    .filter(({ where }) => select(measurements, where).length > 0);
  const columns = {
    'without Redis': ({ label }) => label,
    checks: ({ where }) => `${where.traffic}, ${where.inFlight} in flight`,
    'checks/s': ({ where }) => spread(summaryOf(measurements, where, 'perSecond'), count),
    'CPU, us': ({ where }) => spread(summaryOf(measurements, where, 'cpuMicros'), significant),
  };
  return section(rows.length > 0 ? [table(columns, rows)] : [], '## In memory', [
    '10,000 creators, limit 100 an hour. RateLimiterMemory counts in a fixed window; the embedded store keeps the exact log.',
  ]);
}

function fullLogs(measurements) {
  const rows = withMeasurements(onRedis, measurements, { kind: 'bytes' });
  const logs = (id) => select(measurements, { kind: 'bytes', contender: id })[0].logs;
  const limits = rows.length > 0 ? logs(rows[0].id).map(({ limit }) => limit) : [];
  const columns = {
    'all keys of one id': ({ label }) => label,
    ...Object.fromEntries(
      limits.map((limit) => [`limit ${limit}`, ({ id }) => bytes(logs(id).find((log) => log.limit === limit).bytes)]),
    ),
  };
  return section(rows.length > 0 ? [table(columns, rows)] : [], '## Memory of Redis', [
    '`MEMORY USAGE` of a full log, its admissions spread over 20 seconds. rate-limiter-flexible and @upstash/ratelimit keep counters, no log: that is why they are not exact.',
  ]);
}

function accuracy(measurements) {
  const rows = withMeasurements(onRedis, measurements, { kind: 'accuracy' });
  const of =
    (text) =>
    ({ id }) =>
      text(select(measurements, { kind: 'accuracy', contender: id })[0]);
  const columns = {
    'one bursty trace': ({ label }) => label,
    'admitted of what was due': of(({ admitted, due }) => percent(admitted / due)),
    'bursts decided exactly': of(({ exact, judged }) => `${exact} of ${judged}`),
    'most in one window': of(({ most, limit }) => `${most} of ${limit}`),
  };
  return section(rows.length > 0 ? [table(columns, rows)] : [], '## Accuracy', [
    'Bursts of one creator, limit 20 in 2 seconds: around the borders of fixed windows, then a client that goes on asking for twice its quota, then one that stays below it. Due is what an exact log admits, replayed over the times of the server (`measure/trace.mjs`).',
  ]);
}

/** The contenders that have such a measurement. */
function withMeasurements(contenders, measurements, properties) {
  return contenders.filter(({ id }) => select(measurements, { ...properties, contender: id }).length > 0);
}

function section(tables, heading, texts) {
  return tables.length > 0 ? [heading, ...texts, ...tables] : [];
}

const NOTES = [
  '## How the peers are set up',
  [
    '- ioredis without `enableAutoPipelining`, its default: tried at 1, 16, 200 and 1,000 in flight, it made the script slower and rate-limiter-flexible no faster, and p50 with one in flight longer. (It spares Redis a third of the CPU of a check by rate-limiter-flexible.) At 1 and 200 in flight it made @upstash/ratelimit slower.',
    '- The module being replaced sends a pipeline (ZREMRANGEBYSCORE, ZCARD, ZADD, EXPIRE) and, for anomalies, a second one (INCR, EXPIRE): two round trips.',
    '- The script over a sorted set (`contenders/sorted-set.lua`) is the same by ioredis and by valkey-glide, and on a cluster.',
    '- On a cluster, ioredis is its `Cluster` client, valkey-glide its `GlideClusterClient`, each given one node; auto-pipelining makes one pipeline a node.',
    '- rate-limiter-flexible is `RateLimiterRedis`; `inMemoryBlockOnConsumed` is shown beside it where it matters, for denials.',
    '- @upstash/ratelimit is `slidingWindow` with `ephemeralCache` off but where it is named, `timeout: 0`, no analytics. It reaches Redis over ioredis instead of HTTP, and its scripts lose a flag that only Upstash knows.',
    '- valkey-glide has a `requestTimeout` of 5 s and 2,000 requests in flight, so that nothing fails.',
    "- This package has a `timeoutMs` of 5 s and `onStoreError: 'throw'`, so that Redis alone decides what is measured; else its defaults.",
  ].join('\n'),
];
