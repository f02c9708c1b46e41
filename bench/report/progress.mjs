// One line for each measurement, during the run.

import { labelOf } from '../contenders/index.mjs';
import { bytes, count, micros, millis, percent } from './number-format.mjs';

export function progressLine(measurement, rounds) {
  const { kind, round, contender, traffic, inFlight } = measurement;
  const where = [
    round === undefined ? undefined : `round ${round + 1}/${rounds}`,
    (traffic ? `${kind} ${traffic}` : kind).padEnd(14),
    inFlight === undefined ? undefined : `${inFlight} in flight`.padStart(14),
    labelOf(contender).padEnd(46),
  ];
  return [...where, ...(formatters[kind] ?? rates)(measurement)].filter((part) => part !== undefined).join('  ');
}

/** The line of a measurement of `npm run bench:growth`. */
export function growthProgressLine({ kind, creators, limit, traffic, checks, ...figures }) {
  const what = {
    'growth-creators': () => `${creators.toLocaleString('en')} creators`,
    'growth-limits': () => `limit ${limit.toLocaleString('en')}, ${traffic}`,
    'growth-soak': () => `${checks.toLocaleString('en')} checks`,
  };
  return [kind.padEnd(16), what[kind]().padEnd(24), ...rates(figures)].filter((part) => part !== undefined).join('  ');
}

const formatters = {
  bytes: ({ logs }) => logs.map((log) => `${bytes(log.bytes)} for ${log.limit}`),
  accuracy: ({ due, admitted, exact, judged, most, limit }) => [
    `${percent(admitted / due)} of what was due`,
    `${exact} of ${judged} bursts exact`,
    `at most ${most} of ${limit} in a window`,
  ],
};

function rates({ perSecond, cpuMicros, redisMicros, p50, p99 }) {
  return [
    `${count(perSecond)}/s`.padStart(11),
    cpuMicros === undefined ? undefined : `cpu ${micros(cpuMicros)}`,
    redisMicros === undefined ? undefined : `redis ${micros(redisMicros)}`,
    p50 === undefined ? undefined : `p50 ${millis(p50)} p99 ${millis(p99)}`,
  ];
}
