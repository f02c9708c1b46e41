import { onStoreStateChange, type StoreStateChange } from '@huntaze/rate-limit';
import type { StoreStateEntry } from './dashboard-data';
import { processState, broadcast } from './process-state';

/** The number of changes kept for the page: an operator does not scroll further, and older ones are in the log. */
const MAX_ENTRIES = 100;

export function listenForOutages(): void {
  onStoreStateChange((change) => {
    // A listener disables the package's own log lines, so they are written here: each change, where the package
    // suppresses some.
    console.warn(`[AI Rate Limit] ${lineOf(change)}`);
    const entry: StoreStateEntry = { ...change, number: ++processState.storeChangeCount, at: Date.now() };
    processState.storeChanges.unshift(entry);
    processState.storeChanges.splice(MAX_ENTRIES);
    broadcast('store-state', entry);
  });
}

function lineOf({ state, limiter, policy, code, shard, durationMs, decided }: StoreStateChange): string {
  return state === 'away'
    ? `Redis is away for ${limiter}: ${code} at ${shard ?? 'an unknown node'}, policy ${policy}`
    : `Redis is back for ${limiter} after ${durationMs} ms: policy ${policy}, ${decided} checks meanwhile`;
}
