// Sends checks at a steady rate, whatever they take.

import { setTimeout as sleep } from 'node:timers/promises';
import { Latencies } from './latencies.mjs';

/** Checks come some at a time, as requests do: one by one, the wake-ups would be most of what they cost. */
const TICK_MS = 5;

/** `{ checks, denied, ms, latencies }` of as many checks, of `ids` in turn. What is late is caught up with. */
export async function paced(check, ids, { perSecond, checks }) {
  const latencies = new Latencies();
  const flying = new Set();
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
      const checking = one(ids[sent % ids.length]).finally(() => flying.delete(checking));
      flying.add(checking);
    }
    await sleep(TICK_MS);
  }
  await Promise.all(flying);
  return { checks, denied, ms: performance.now() - start, latencies };
}
