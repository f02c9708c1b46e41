// C: the negative control. The module that this package replaces goes through the same checks: a check that it passes
// proves nothing, so the row fails if the control passes, as well as if the addon fails.

import * as invariants from '../invariants.mjs';
import { Scenario } from '../scenario.mjs';

const { CLOCKS_MS } = invariants;
/** Long enough that Redis decides, however busy the machine is. */
const PATIENT_MS = 20_000;

const SUBJECTS = [
  { name: 'the addon', algorithm: undefined, due: 'holds' },
  { name: 'the module being replaced', algorithm: 'legacy', due: 'fails' },
];

/** Each resolves to the violation it found, as a text, or to undefined. */
const checks = { I1: races, I3: steady, I6: retried, OOM: outOfMemory, READONLY: readOnly };

export default {
  id: 'C',
  title: 'the control: the module being replaced fails where the addon holds',
  quick: true,
  slow: 4,
  async run(context) {
    const result = { violations: [], notes: [] };
    const judge = async (what, { name, algorithm, due }) => {
      const wrong = await checks[what](context, algorithm);
      const seen = wrong === undefined ? 'holds' : 'fails';
      const line = `${what}: ${name} ${seen}${wrong ? `: ${wrong}` : ''}`;
      context.step(line);
      if (wrong) result.notes.push(line);
      if (seen !== due) result.violations.push(wrong ? line : `${line}, and so the check shows nothing`);
    };
    await Promise.all(Object.keys(checks).flatMap((what) => SUBJECTS.map((subject) => judge(what, subject))));
    return result;
  },
};

/**
 * I1: several processes request a fresh id at once, through a proxy that forwards single bytes: there two pipelines
 * interleave, and a script does not. Ids are fresh, because the control locks out an id that keeps asking.
 */
async function races(context, algorithm) {
  const server = await context.server();
  const proxy = await context.proxy(server);
  const policies = ['local'];
  const [streams, quota] = [{ asking: 1 }, { limit: 1, windowMs: 60_000, timeoutMs: PATIENT_MS }];
  const scenario = await Scenario.open(context, {
    server,
    through: proxy,
    policies,
    algorithm,
    streams,
    quota,
    processes: 4,
  });
  proxy.set('slices');
  for (let round = 0; round < (context.quick ? 10 : 30); round++) {
    await scenario.all('burst', { limiter: 'local', id: `race-${round}`, count: 2 });
  }
  proxy.set('pass');
  await scenario.stopTraffic();
  await Promise.all(scenario.processes.map((child) => child.end()));
  const [first, ...others] = invariants.exact(scenario.history, scenario.limiters);
  return first && `${first}, and ${others.length} other ids`;
}

/**
 * I3: a caller that asks every 50 ms at a limit of 5 in 4 s is admitted 5 times in 4 s: denials do not count. The
 * control counts them, and denies while 5 requests were made in 4 s, even on a machine so busy that a check takes half
 * a second. A denial is needless if fewer than 5 admissions may be in the window, which is bounded by the call and the
 * answer.
 */
async function steady(context, algorithm) {
  const [limit, windowMs, times] = [5, 4000, context.quick ? 110 : 200];
  const answers = await alone(context, { algorithm, limit, windowMs, everyMs: 50, times });
  const admitted = answers.filter(({ outcome }) => outcome === 1);
  const mayCount = (from, to) => admitted.filter((one) => one.settledAt > from && one.calledAt <= to).length;
  const denied = answers.filter(({ outcome }) => outcome === 0);
  const needless = denied.filter(({ calledAt, settledAt }) => mayCount(calledAt - windowMs, settledAt) < limit);
  return needless.length > 0
    ? `${needless.length} of ${times} denied for nothing, ${admitted.length} admitted`
    : undefined;
}

/**
 * I6: a lone caller is denied before the promised moment and admitted from then on. The promise was made at some moment
 * between its call and the answer.
 */
async function retried(context, algorithm) {
  const [limit, windowMs, times] = [3, 500, 120];
  const answers = await alone(context, { algorithm, limit, windowMs, everyMs: 10, times });
  let promised;
  for (const { outcome, calledAt, settledAt, retryAfterMs } of answers) {
    if (outcome === 1) {
      if (promised !== undefined && settledAt < promised.earliest - CLOCKS_MS)
        return `admitted ${Math.round(promised.earliest - settledAt)} ms before the promised time`;
      promised = undefined;
    } else {
      if (promised !== undefined && calledAt > promised.latest + CLOCKS_MS)
        return `denied ${Math.round(calledAt - promised.latest)} ms after the promised time`;
      promised ??= { earliest: calledAt + retryAfterMs, latest: settledAt + retryAfterMs };
    }
  }
  return answers.some(({ outcome }) => outcome === 0) ? undefined : 'it was never denied';
}

/** A server that cannot record admits no request: admissions are local to the process, within one limit. */
function outOfMemory(context, algorithm) {
  return refused(context, algorithm, (server) => server.config('maxmemory', '1'));
}

async function readOnly(context, algorithm) {
  const primary = await context.server();
  return refused(context, algorithm, (server) => server.send('REPLICAOF', primary.host, primary.port));
}

async function refused(context, algorithm, refuse) {
  const [limit, count] = [5, 20];
  const { server, child } = await lone(context, { algorithm, limit, windowMs: 60_000 });
  await refuse(server);
  const admitted = await child.ask('burst', { limiter: 'local', id: 'refused', count });
  await child.end();
  return admitted > limit ? `${admitted} of ${count} admitted at a limit of ${limit}` : undefined;
}

async function alone(context, { algorithm, limit, windowMs, everyMs, times }) {
  const { child } = await lone(context, { algorithm, limit, windowMs });
  const answers = await child.ask('alone', { limiter: 'local', id: 'alone', everyMs, times });
  await child.end();
  return answers;
}

/** One process with its own server. */
async function lone(context, { algorithm, limit, windowMs }) {
  const server = await context.server();
  const child = context.trafficProcess();
  const redis = { host: server.host, port: server.port, password: context.password };
  const options = { name: 'local', limit, windowMs, timeoutMs: PATIENT_MS, redis };
  await child.ask('open', [{ key: 'local', algorithm, options }]);
  const { source } = await child.ask('check', { limiter: 'local', id: 'first' });
  if (source !== 'redis') throw new Error(`the first check was decided by ${source}`);
  return { server, child };
}
