// The cost of a check on a full log, by its limit. The logs have 100,000 admissions in all: one log of 100,000, ten of
// 10,000 and so on.

import { open } from '../contenders/index.mjs';
import { ControlConnection } from '../control-connection.mjs';
import { Traffic, idsOf } from './closed-loop.mjs';
import { withCost } from './cpu-time.mjs';
import { constantRate } from './open-loop.mjs';

const ADMISSIONS = 100_000;

/** The window of sliding logs. Its admissions are spread evenly over slightly more than one window: all succeed. */
const SLIDING_MS = 10_000;
const SLACK = 1.05;
const PER_SECOND = ADMISSIONS / SLACK / (SLIDING_MS / 1000);

/** The window of logs that stay full during the measurement. */
const LONG_MS = 3_600_000;

export async function measure({ contender, port, limit, traffic, seconds }) {
  const redis = await ControlConnection.connect(port);
  await redis.send('FLUSHALL', 'SYNC');
  const ids = idsOf(ADMISSIONS / limit);
  const windowMs = traffic === 'allowed' ? SLIDING_MS : LONG_MS;
  const { check, close } = await open(contender, { port, limit, windowMs, denyCacheMs: 0 });
  if (traffic === 'allowed') await constantRate(check, ids, { perSecond: PER_SECOND, checks: ADMISSIONS });
  else await new Traffic(check, ids).runCounted({ inFlight: 200, ms: Infinity, maxChecks: ADMISSIONS });
  const { latencies, ...figures } = await withCost(redis, () =>
    constantRate(check, ids, { perSecond: PER_SECOND, checks: Math.round(PER_SECOND * seconds) }),
  );
  if (traffic === 'denied' && figures.denied < figures.checks)
    throw new Error('a check of a used-up quota was admitted');
  await close();
  redis.close();
  return { ...figures, ...latencies.percentiles() };
}
