// Checks that are all denied: 1,000 creators who have used up a quota of 50 an hour.

import { open } from '../contenders/index.mjs';
import { ControlConnection } from '../control-connection.mjs';
import { Traffic, idsOf } from './closed-loop.mjs';
import { withCost } from './cpu-time.mjs';
import { avoidFullHour } from './hour-boundary.mjs';

const CREATORS = 1000;
const LIMIT = 50;
const WINDOW_MS = 3_600_000;
const WARM_UP_MS = 400;

export async function measure({ contender, port, inFlight, seconds }) {
  await avoidFullHour(seconds);
  const redis = await ControlConnection.connect(port);
  await redis.send('FLUSHALL', 'SYNC');
  const { check, close } = await open(contender, { port, limit: LIMIT, windowMs: WINDOW_MS });
  const traffic = new Traffic(check, idsOf(CREATORS));
  const filling = await traffic.runCounted({ inFlight, ms: Infinity, maxChecks: CREATORS * LIMIT });
  if (filling.denied > 0) throw new Error(`${filling.denied} checks of an unused quota were denied`);
  const warmUp = await traffic.runCounted({ inFlight, ms: WARM_UP_MS });
  const figures = await withCost(redis, () => traffic.runCounted({ inFlight, ms: seconds * 1000 }));
  const admitted = warmUp.checks + figures.checks - warmUp.denied - figures.denied;
  if (admitted > 0) throw new Error(`${admitted} checks of a used-up quota were admitted`);
  await close();
  redis.close();
  return figures;
}
