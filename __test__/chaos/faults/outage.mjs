// F1: the primary is killed and comes back with its logs. Twice and more, so that recovery has a median and so that what a
// process admits by itself is bounded over several outages.

import { replayed } from '../invariants.mjs';
import { healedEverywhere } from '../shards.mjs';
import { Stage } from '../stage.mjs';

const RECOVERED_MS = 3000;
/** Every write is on disk before it is acknowledged: nothing that Redis admitted is lost, and I1 has no exception. */
const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'always'];
const PROCESSES = 4;
/** Callers of each of the three policies in a process: 204 checks in flight over all. */
const ASKING = 17;
const MILD = 3;

export default {
  id: 'F1',
  title: 'primary killed, and started again',
  quick: true,
  async run(context) {
    const server = await context.server({ options: DURABLE });
    const outages = context.quick ? [1000] : [10_000, 500, 1000, 2000, 3000];
    // The window is longer than an outage and the recovery from it: what was admitted by itself counts afterwards.
    const windowMs = context.quick ? 6000 : 20_000;
    const quota = { windowMs };
    const streams = { asking: ASKING, cold: 20_000 };
    const stage = await Stage.open(context, { server, processes: PROCESSES, quota, streams });
    for (const [i, lastMs] of outages.entries()) {
      await stage.outage(`killed for ${lastMs} ms`, {
        begin: () => server.kill(),
        lastMs: lastMs / 2,
        end: async () => {
          await admittedAlone(stage, i);
          await new Promise((resolve) => setTimeout(resolve, lastMs / 2));
        },
        returns: () => server.restart(),
      });
      await healedEverywhere(stage);
      await remembered(stage, i);
    }
    await stage.quiet();
    for (const text of replayed(stage.history, stage.limiters, stage.wallOffset, stage.outages))
      stage.must(false, text);
    const median = [...stage.recoveries].sort((a, b) => a - b)[outages.length >> 1];
    const list = stage.recoveries.map((took) => Math.round(took)).join(', ');
    stage.note(
      `Redis decided again, in every process and for every policy, after ${list} ms; median ${Math.round(median)}`,
    );
    stage.must(median <= RECOVERED_MS, `I18: Redis decided again after ${Math.round(median)} ms at the median`);
    return stage.finish();
  },
};

/** Each process admits a few of one id, and as many as it can of another. */
async function admittedAlone(stage, i) {
  const mild = await stage.all('burst', { limiter: 'local', id: `mild-${i}`, count: MILD });
  const greedy = await stage.all('burst', { limiter: 'local', id: `greedy-${i}`, count: 30 });
  const { limit } = stage.limiters.local;
  stage.must(
    mild.every((count) => count === MILD),
    `local: ${mild} admitted of ${MILD} asked for in each process`,
  );
  stage.must(
    greedy.every((count) => count === limit),
    `local: ${greedy} admitted, with ${limit} due in each process`,
  );
}

/** Every process sees what all of them have admitted. */
async function remembered(stage, i) {
  const { limit } = stage.limiters.local;
  const seen = await stage.all('status', { limiter: 'local', ids: [`mild-${i}`, `greedy-${i}`] });
  const left = seen.map(([mild, greedy]) => `${mild.remaining} and ${greedy.remaining}`);
  const due = `${limit - PROCESSES * MILD} and 0`;
  stage.must(
    left.every((text) => text === due),
    `replay: remaining ${left.join(', ')}; due ${due} in each process`,
  );
  const again = await stage.all('burst', { limiter: 'local', id: `greedy-${i}`, count: 1 });
  const more = again.reduce((sum, count) => sum + count, 0);
  stage.note(
    `outage ${i + 1}, admitted of one id under local: ${PROCESSES * limit} by ${PROCESSES} processes while Redis was away ` +
      `(at most ${limit} each), ${more} after the replay; of another ${PROCESSES * MILD}, and ${seen[0][0].remaining} of ${limit} left`,
  );
  stage.must(
    again.every((count) => count === 0),
    'replay: an id that used up its quota during the outage is admitted after it',
  );
}
