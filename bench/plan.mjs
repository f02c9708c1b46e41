// The measurements of each contender.

import { denying, inMemory, onCluster, onRedis, shapes, underLoad } from './contenders/index.mjs';
import { WINDOW_MS } from './measure/trace.mjs';

const IN_FLIGHT = [1, 16, 200, 1000];
const FULL_LOG_LIMITS = [50, 100, 500];

/** The duration of the accuracy trace. */
const SPREAD_MS = 20_000;

/** The start-up time allowed for each of the processes that start together. */
const STARTUP_MS_PER_PROCESS = 500;

/** The jobs of a round for `measure/<kind>.mjs`: groups of contenders with the same work, one after the other. */
export function roundJobs({ kinds, contenders, seconds }) {
  const groups = {
    throughput: IN_FLIGHT.map((inFlight) => ({ contenders: underLoad, inFlight, seconds })),
    denials: [{ contenders: denying, inFlight: 200, seconds }],
    memory: ['allowed', 'denied'].flatMap((traffic) =>
      [1, 200].map((inFlight) => ({ contenders: inMemory, traffic, inFlight, seconds })),
    ),
    cluster: [1, 200, 1000].map((inFlight) => ({ contenders: onCluster, inFlight, seconds })),
    shapes: [{ contenders: shapes, seconds }],
  };
  return kinds
    .flatMap((kind) => (groups[kind] ?? []).map((group) => ({ kind, ...group })))
    .map((group) => ({ ...group, contenders: selectContenders(group.contenders, contenders) }));
}

/** The jobs of the kinds that leave the machine idle. They run concurrently, each with its own database. */
export function concurrentJobs({ kinds, contenders }, serverTime) {
  const databases = { accuracy: (i) => 1 + i, bytes: (i) => 1 + onRedis.length + i * FULL_LOG_LIMITS.length };
  const jobs = ['bytes', 'accuracy']
    .filter((kind) => kinds.includes(kind))
    .flatMap((kind) =>
      selectContenders(onRedis, contenders).map((contender, i) => ({ kind, contender, database: databases[kind](i) })),
    );
  const startsAt = Math.ceil((serverTime + 1000 + jobs.length * STARTUP_MS_PER_PROCESS) / WINDOW_MS) * WINDOW_MS;
  const details = { accuracy: { startsAt }, bytes: { limits: FULL_LOG_LIMITS, spreadMs: SPREAD_MS } };
  return jobs.map((job) => ({ ...job, ...details[job.kind] }));
}

/** Whether a round needs a cluster. */
export function needsCluster({ kinds }) {
  return kinds.includes('cluster') || kinds.includes('shapes');
}

/** Every contender of the list, or those whose ids begin with one of `names`. */
export function selectContenders(list, names) {
  return names === undefined
    ? list
    : list.filter(({ id }) => names.some((name) => id === name || id.startsWith(`${name}-`)));
}
