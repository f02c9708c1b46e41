// Checks without Redis, decided in this process: 10,000 creators, limit 100 an hour. They are admitted, or the quotas
// are used up beforehand.

import { open } from '../contenders/index.mjs';
import { Traffic, idsOf } from './closed-loop.mjs';
import { withCost } from './cpu-time.mjs';

const CREATORS = 10_000;
const LIMIT = 100;
const PER_CREATOR = 95;
const WINDOW_MS = 3_600_000;
const WARM_UP = { ms: 400, most: CREATORS * 20 };

export async function measure({ contender, traffic, inFlight, seconds }) {
  const { check, close } = await open(contender, { limit: LIMIT, windowMs: WINDOW_MS });
  const stretch = { inFlight, ms: seconds * 1000 };
  // Its own ids: an admission in the warm-up would be one less to measure.
  await new Traffic(check, idsOf(CREATORS, 'warm'), PER_CREATOR).counted({ inFlight, ...WARM_UP });
  const figures = await { allowed, denied }[traffic](check, stretch);
  await close();
  return figures;
}

async function allowed(check, stretch) {
  const traffic = new Traffic(check, idsOf(CREATORS), PER_CREATOR);
  const figures = await withCost(undefined, () => traffic.counted(stretch));
  if (figures.denied > 0) throw new Error(`${figures.denied} checks of an unused quota were denied`);
  return figures;
}

async function denied(check, stretch) {
  const traffic = new Traffic(check, idsOf(CREATORS));
  await traffic.counted({ inFlight: 200, ms: Infinity, most: CREATORS * LIMIT });
  await traffic.counted({ inFlight: stretch.inFlight, ...WARM_UP });
  const figures = await withCost(undefined, () => traffic.counted(stretch));
  if (figures.denied < figures.checks) throw new Error(`${figures.checks - figures.denied} checks were admitted`);
  return figures;
}
