import { setTimeout as sleep } from 'node:timers/promises';
import { historyOf } from '../browser/operator-page';
import type { App } from './app';

/**
 * Makes `times` concurrent requests for a creator on starter, to all applications in turn; returns the number of each
 * status.
 */
export async function burst(apps: readonly App[], creatorId: string, times: number): Promise<Record<number, number>> {
  const requests = Array.from({ length: times }, async (_, i) => {
    const response = await apps[i % apps.length]!.chat(creatorId, 'starter');
    await response.arrayBuffer();
    return response.status;
  });
  const statuses = await Promise.all(requests);
  return Object.fromEntries([...new Set(statuses)].map((s) => [s, statuses.filter((status) => status === s).length]));
}

const ATTEMPTS = 20;

/**
 * The same for a new creator, repeated until Redis has decided every call. A busy machine may delay a call beyond its
 * deadline, and the process then decides alone: the applications count such decisions, and a burst with one of them is
 * repeated.
 */
export async function burstByRedis(apps: readonly App[], name: string, times: number): Promise<Record<number, number>> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const before = await degradedDecisions(apps);
    const statuses = await burst(apps, `${name}-${attempt}`, times);
    if ((await degradedDecisions(apps)) === before) return statuses;
  }
  throw new Error(`in each of ${ATTEMPTS} bursts a call was decided without Redis`);
}

/** The decisions without Redis since this call, from the counters of each application. */
export async function degradedDecisions(apps: readonly App[]): Promise<number> {
  const startedAt = Date.now();
  const totals = apps.map(async (app) => {
    for (;;) {
      const { samples, totals } = await historyOf(app);
      if ((samples.at(-1)?.t ?? 0) > startedAt) return totals.degraded;
      await sleep(100);
    }
  });
  return (await Promise.all(totals)).reduce((sum, count) => sum + count, 0);
}
