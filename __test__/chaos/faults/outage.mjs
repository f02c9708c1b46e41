// F1: the primary is killed and restarted with its logs. At least twice, so that recovery has a median and the local
// admissions of a process are bounded over several outages.

import { replayed } from '../invariants.mjs';
import { answered, waitForAllShards, shardOf } from '../shards.mjs';
import { Scenario } from '../scenario.mjs';
import { sleep } from '../time.mjs';

const RECOVERED_MS = 3000;
/** Every write is on disk before it is acknowledged: no admission of Redis is lost, and I1 has no exception. */
const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'always'];
const PROCESSES = 4;
/** Concurrent callers of each policy in a process: 204 checks in flight over all. */
const ASKING = 17;
const MILD = 3;
/**
 * Exactly counted admissions must not leave their window meanwhile, on any machine, nor be recorded again after a late
 * reply.
 */
const OUTLASTING_MS = 600_000;
const PATIENT_MS = 20_000;

export default {
  id: 'F1',
  title: 'primary killed, and started again',
  quick: true,
  slow: 4,
  async run(context) {
    const server = await context.server({ options: DURABLE });
    const outages = context.quick ? [1000] : [6000, 500, 1000];
    // The window is longer than an outage and the recovery from it: local admissions count afterwards.
    const windowMs = context.quick ? 4000 : 12_000;
    const quota = { windowMs };
    const streams = { asking: ASKING, thinkMs: 100, cold: 20_000 };
    const besides = { outlasting: { onStoreError: 'local', windowMs: OUTLASTING_MS, timeoutMs: PATIENT_MS } };
    const scenario = await Scenario.open(context, { server, processes: PROCESSES, quota, besides, streams });
    for (const [i, lastMs] of outages.entries()) {
      await scenario.outage(`killed for ${lastMs} ms`, {
        begin: () => server.kill(),
        lastMs: lastMs / 2,
        end: async () => {
          await admittedAlone(scenario, i);
          await sleep(lastMs / 2);
        },
        returns: () => server.restart(),
      });
      await waitForAllShards(scenario);
      await remembered(scenario, i);
    }
    await scenario.stopTraffic();
    const { history, limiters, wallOffset } = scenario;
    for (const text of replayed(history, limiters, wallOffset, scenario.outages, server.cluster && shardOf))
      scenario.must(false, text);
    const median = (name) => scenario.recoveries.map((one) => one[name]).sort((a, b) => a - b)[outages.length >> 1];
    const list = scenario.recoveries.map(({ took }) => Math.round(took)).join(', ');
    scenario.note(
      `Redis decided again, in every process and for every policy, after ${list} ms; median ${Math.round(median('took'))}`,
    );
    const running = median('running');
    scenario.must(
      running <= RECOVERED_MS,
      `I18: Redis decided again after ${Math.round(running)} ms of running at the median`,
    );
    return scenario.finish();
  },
};

/** Each process admits a few requests of one id, and as many as possible of another. */
async function admittedAlone(scenario, i) {
  const mild = await scenario.all('burst', { limiter: 'outlasting', id: `mild-${i}`, count: MILD });
  const greedy = await scenario.all('burst', { limiter: 'outlasting', id: `greedy-${i}`, count: 30 });
  const { limit } = scenario.limiters.outlasting;
  scenario.must(
    mild.every((count) => count === MILD),
    `local: ${mild} admitted of ${MILD} asked for in each process`,
  );
  scenario.must(
    greedy.every((count) => count === limit),
    `local: ${greedy} admitted, with ${limit} due in each process`,
  );
}

/** Every process sees the admissions of all processes. */
async function remembered(scenario, i) {
  const { limit } = scenario.limiters.outlasting;
  // By the shards of the ids: Redis knows the local admissions of a process from its first reply on.
  for (const id of [`mild-${i}`, `greedy-${i}`]) {
    const shard = shardOf({ limiter: 'outlasting', id });
    await Promise.all(scenario.processes.map((child) => answered(child, 'outlasting', shard)));
  }
  const seen = await scenario.all('status', { limiter: 'outlasting', ids: [`mild-${i}`, `greedy-${i}`] });
  const left = seen.map(([mild, greedy]) => `${mild.remaining} and ${greedy.remaining}`);
  const due = `${limit - PROCESSES * MILD} and 0`;
  scenario.must(
    left.every((text) => text === due),
    `replay: remaining ${left.join(', ')}; due ${due} in each process`,
  );
  const again = await scenario.all('burst', { limiter: 'outlasting', id: `greedy-${i}`, count: 1 });
  const more = again.reduce((sum, count) => sum + count, 0);
  scenario.note(
    `outage ${i + 1}, admitted of one id under local: ${PROCESSES * limit} by ${PROCESSES} processes while Redis was away ` +
      `(at most ${limit} each), ${more} after the replay; of another ${PROCESSES * MILD}, and ${seen[0][0].remaining} of ${limit} left`,
  );
  scenario.must(
    again.every((count) => count === 0),
    'replay: an id that used up its quota during the outage is admitted after it',
  );
}
