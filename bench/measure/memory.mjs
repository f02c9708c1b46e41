// Checks without Redis, decided in this process: 10,000 creators, limit 100 an hour. They are admitted, or the quotas
// are used up beforehand.

import { open } from '../contenders/index.mjs';
import { Traffic, idsOf } from './closed-loop.mjs';
import { withCost } from './cpu-time.mjs';

const CREATORS = 10_000;
const LIMIT = 100;
const PER_CREATOR = 95;
const WINDOW_MS = 3_600_000;
const WARM_UP = { ms: 400, maxChecks: CREATORS * 20 };

export async function measure({ contender, traffic, inFlight, seconds }) {
  const { check, close } = await open(contender, { limit: LIMIT, windowMs: WINDOW_MS });
  const interval = { inFlight, ms: seconds * 1000 };
  // The warm-up has its own ids: its admissions would leave fewer to measure.
  await new Traffic(check, idsOf(CREATORS, 'warm'), PER_CREATOR).runCounted({ inFlight, ...WARM_UP });
  const figures = await { allowed, denied }[traffic](check, interval);
  await close();
  return figures;
}

async function allowed(check, interval) {
  const traffic = new Traffic(check, idsOf(CREATORS), PER_CREATOR);
  const figures = await withCost(undefined, () => traffic.runCounted(interval));
  if (figures.denied > 0) throw new Error(`${figures.denied} checks of an unused quota were denied`);
  return figures;
}

async function denied(check, interval) {
  const traffic = new Traffic(check, idsOf(CREATORS));
  await traffic.runCounted({ inFlight: 200, ms: Infinity, maxChecks: CREATORS * LIMIT });
  await traffic.runCounted({ inFlight: interval.inFlight, ...WARM_UP });
  const figures = await withCost(undefined, () => traffic.runCounted(interval));
  if (figures.denied < figures.checks) throw new Error(`${figures.checks - figures.denied} checks were admitted`);
  return figures;
}
