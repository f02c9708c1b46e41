// The results of a run as bench/results/growth.md.

import { bytes, count, percent, significant } from './number-format.mjs';
import { machineTable } from './machine.mjs';
import { select } from './statistics.mjs';
import { table } from './table.mjs';

export function growthReport({ command, date, machine, measurements }) {
  return `${[
    '# Growth',
    `\`${command}\`, ${date.slice(0, 10)}. This package alone; the raw figures are in [growth.json](growth.json).`,
    machineTable(machine),
    '## Creators',
    'Limit 100 an hour, 200 in flight, everything admitted, creators in a shuffled order. The memory is that of Redis after one admission of each creator.',
    '![Cost of a check by the number of creators](growth-creators.svg)',
    creators(select(measurements, { kind: 'growth-creators' })),
    '## Limits',
    'Full logs, as many as make 100,000 admissions in all, and 9,500 checks a second, some 50 every 5 ms. The allowed ones are on logs that slide: a window of 10 s, and checks so far apart that each finds a full log whose oldest admission has just expired. The denied ones have `denyCacheMs: 0` and a window of an hour: Redis decides each.',
    '![Cost of a check on a full log by its limit](growth-limits.svg)',
    limits(select(measurements, { kind: 'growth-limits' })),
    '## Soak',
    ...soak(select(measurements, { kind: 'growth-soak' })[0]),
  ].join('\n\n')}\n`;
}

function creators(rows) {
  return table(
    {
      creators: (row) => row.creators.toLocaleString('en'),
      'checks/s': ({ perSecond }) => count(perSecond),
      'p50, ms': ({ p50 }) => significant(p50),
      'p99, ms': ({ p99 }) => significant(p99),
      'CPU, us': ({ cpuMicros }) => significant(cpuMicros),
      'Redis, us': ({ redisMicros }) => significant(redisMicros),
      'memory a creator': ({ bytesPerCreator }) => bytes(bytesPerCreator),
    },
    rows,
  );
}

function limits(rows) {
  return table(
    {
      limit: ({ limit }) => limit.toLocaleString('en'),
      checks: ({ traffic }) => traffic,
      'checks/s': ({ perSecond }) => count(perSecond),
      'p50, ms': ({ p50 }) => significant(p50),
      'p99, ms': ({ p99 }) => significant(p99),
      'CPU, us': ({ cpuMicros }) => significant(cpuMicros),
      'Redis, us': ({ redisMicros }) => significant(redisMicros),
      'of them denied': ({ denied, checks }) => percent(denied / checks),
    },
    rows,
  );
}

function soak({ asked, checks, allowed, denied, perSecond, samples }) {
  const megabytes = (value) => `${(value / 1e6).toFixed(1)} MB`;
  const early = checks < asked ? ` It ended early, by its time: ${asked.toLocaleString('en')} were to be made.` : '';
  const at = (share) => ({ share, ...samples.find((sample) => sample.checks >= checks * share) });
  return [
    `${checks.toLocaleString('en')} checks of 20,000 creators at 200 in flight, limit 10 in 3 seconds, so that logs expire all the time: ${allowed.toLocaleString('en')} allowed, ${denied.toLocaleString('en')} denied, ${count(perSecond)} a second.${early}`,
    '![Memory during the soak](growth-soak.svg)',
    table(
      {
        after: ({ share }) => percent(share),
        checks: (sample) => sample.checks.toLocaleString('en'),
        'resident memory': ({ rss }) => megabytes(rss),
        'heap of JavaScript': ({ heapUsed }) => megabytes(heapUsed),
        external: ({ external }) => megabytes(external),
        'used memory of Redis': ({ redis }) => megabytes(redis),
      },
      [at(0.1), at(0.5), at(1)],
    ),
  ];
}
