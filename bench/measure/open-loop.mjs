// Sends checks at a steady rate, whatever they take.

import { setTimeout as sleep } from 'node:timers/promises';
import { Latencies } from './latencies.mjs';

/** Checks are sent in small groups, as requests arrive. If each had a timer, wake-ups would be most of their cost. */
const TICK_MS = 5;

/** Sends `checks` checks, of `ids` in turn: `{ checks, denied, ms, latencies }`. A late check is sent immediately. */
export async function constantRate(check, ids, { perSecond, checks }) {
  const latencies = new Latencies();
  const inFlight = new Set();
  let [sent, denied] = [0, 0];
  const one = async (id) => {
    const began = performance.now();
    if (!(await check(id))) denied += 1;
    latencies.add(performance.now() - began);
  };
  const start = performance.now();
  while (sent < checks) {
    const due = Math.min(checks, ((performance.now() - start) / 1000) * perSecond);
    for (; sent < due; sent++) {
      const checking = one(ids[sent % ids.length]).finally(() => inFlight.delete(checking));
      inFlight.add(checking);
    }
    await sleep(TICK_MS);
  }
  await Promise.all(inFlight);
  return { checks, denied, ms: performance.now() - start, latencies };
}
