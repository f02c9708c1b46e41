import { onStoreStateChange, type StoreStateChange } from '@huntaze/rate-limit';
import type { SeenChange } from './dashboard-data';
import { observation, tellAll } from './process-state';

/** As many as an operator scrolls through; older ones are in the log. */
const KEPT = 100;

export function listenForOutages(): void {
  onStoreStateChange((change) => {
    // A listener disables the package's own log lines, so they are written here: each change, where the package
    // suppresses some.
    console.warn(`[AI Rate Limit] ${lineOf(change)}`);
    const seen: SeenChange = { ...change, number: ++observation.changeCount, at: Date.now() };
    observation.changes.unshift(seen);
    observation.changes.splice(KEPT);
    tellAll('store', seen);
  });
}

function lineOf({ state, limiter, policy, code, shard, durationMs, decided }: StoreStateChange): string {
  return state === 'away'
    ? `Redis is away for ${limiter}: ${code} at ${shard ?? 'an unknown node'}, policy ${policy}`
    : `Redis is back for ${limiter} after ${durationMs} ms: policy ${policy}, ${decided} checks meanwhile`;
}
