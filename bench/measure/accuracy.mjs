// One bursty trace against a contender: the admitted checks next to those that an exact log admits.

import { setTimeout as sleep } from 'node:timers/promises';
import { open } from '../contenders/index.mjs';
import { ControlConnection } from '../control-connection.mjs';
import { LIMIT, WINDOW_MS, bursts, maxInAnyWindow, replay } from './trace.mjs';

const ID = 'creator-1234';

/** @param startsAt the start of the trace, in Unix ms of the server, at the edge of an aligned window */
export async function measure({ contender, port, database, startsAt }) {
  const redis = await ControlConnection.connect(port);
  const { check, close } = await open(contender, { port, database, limit: LIMIT, windowMs: WINDOW_MS });
  // The first check of a client also connects and loads scripts, so it uses another id.
  await check('warm-up');
  const offset = startsAt - (await redis.time());
  if (offset < 0) throw new Error('the trace began without this contender');
  const zero = performance.now() + offset;

  const observed = [];
  for (const { at, checks } of bursts) {
    await sleep(Math.max(0, zero + at - performance.now()));
    const from = (await redis.time()) - startsAt;
    let admitted = 0;
    for (let i = 0; i < checks; i++) if (await check(ID)) admitted += 1;
    observed.push({ from, to: (await redis.time()) - startsAt, checks, admitted });
  }
  await close();
  redis.close();

  const judged = replay(observed).filter(({ clear }) => clear);
  const total = (field) => judged.reduce((sum, burst) => sum + burst[field], 0);
  return {
    bursts: bursts.length,
    judged: judged.length,
    exact: judged.filter(({ due, admitted }) => due === admitted).length,
    due: total('due'),
    admitted: total('admitted'),
    most: maxInAnyWindow(observed),
    limit: LIMIT,
    windowMs: WINDOW_MS,
    trace: observed.map(({ from, to, ...burst }) => ({ from: Math.round(from), to: Math.round(to), ...burst })),
  };
}
