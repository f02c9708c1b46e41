// Before and after: a fault has cost Redis decisions, and after it Redis decides, and goes on deciding.

/** How long traffic goes on after the last recovery. */
export const SETTLED_MS = 2000;
/** How much of it Redis has to decide: a busy machine may stumble. */
const SHARE = 0.95;

const byRedis = ({ source }) => source === 'redis' || source === 'deny-cache';

/** Who is found again is not lost again. */
export function relapse(decisions) {
  const share = decisions.filter(byRedis).length / decisions.length;
  return share >= SHARE ? [] : [`Redis decided ${Math.round(share * 100)} % after its return`];
}

/** Outages that cost Redis no decision have not happened. */
export function harmless(history, outages, recoveries) {
  const others = history.filter((decision) => !byRedis(decision));
  const bit = ([from, to], i) =>
    others.some(({ settledAt }) => settledAt >= from && settledAt <= to + (recoveries[i] ?? 0));
  return outages.every(bit) ? [] : ['an outage that cost Redis no decision'];
}
