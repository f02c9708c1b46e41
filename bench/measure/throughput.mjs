// Checks that are all admitted: 10,000 creators, each with a quota of 100 an hour, and at most 95 requests for each.

import { open } from '../contenders/index.mjs';
import { Servers } from '../servers.mjs';
import { Traffic, idsOf } from './closed-loop.mjs';
import { withCost } from './cpu-time.mjs';

const CREATORS = 10_000;
const LIMIT = 100;
const PER_CREATOR = 95;
const WINDOW_MS = 3_600_000;

/** The warm-up always has many checks in flight: code is compiled after a number of calls, not after a time. */
const WARM_UP = { inFlight: 64, ms: 600, maxChecks: CREATORS * 25 };

export async function measure({ contender, ports, inFlight, seconds }) {
  const redis = await Servers.connect(ports);
  await redis.flush();
  const { check, close } = await open(contender, { port: ports[0], limit: LIMIT, windowMs: WINDOW_MS });
  const traffic = new Traffic(check, idsOf(CREATORS), PER_CREATOR);
  const warmUp = await traffic.runTimed({ ...WARM_UP, inFlight: Math.max(inFlight, WARM_UP.inFlight) });
  const { latencies, ...figures } = await withCost(redis, () => traffic.runTimed({ inFlight, ms: seconds * 1000 }));
  const denied = warmUp.denied + figures.denied;
  if (denied > 0) throw new Error(`${denied} checks of an unused quota were denied`);
  await close();
  redis.close();
  return { ...figures, ...latencies.percentiles() };
}
