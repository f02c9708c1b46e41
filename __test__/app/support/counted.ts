import type { App } from './app';

/** Asks `times` times for a creator on starter, all at once, of all applications in turn; how many were answered how. */
export async function burst(apps: readonly App[], creatorId: string, times: number): Promise<Record<number, number>> {
  const asked = Array.from({ length: times }, async (_, i) => {
    const response = await apps[i % apps.length]!.chat(creatorId, 'starter');
    await response.arrayBuffer();
    return response.status;
  });
  const statuses = await Promise.all(asked);
  return Object.fromEntries([...new Set(statuses)].map((s) => [s, statuses.filter((status) => status === s).length]));
}
