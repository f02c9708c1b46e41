import type { StoreStateEntry } from '@/lib/admin/dashboard-data';
import { clockTime, count, duration } from './format';

/** When the store became unavailable and when it was back, the newest first. */
export function OutageList({ storeChanges }: { storeChanges: readonly StoreStateEntry[] }) {
  return (
    <div
      role="log"
      aria-label="Outages of the store"
      className="outages scroll"
      tabIndex={storeChanges.length > 0 ? 0 : undefined}
    >
      <ol>
        {storeChanges.map((change) => (
          <li key={change.number} data-change={change.state}>
            <time dateTime={new Date(change.at).toISOString()}>{clockTime(change.at)}</time>
            <span className="description">{textOf(change)}</span>
          </li>
        ))}
      </ol>
    </div>
  );
}

function textOf({ state, policy, code, shard, durationMs = 0, decided = 0 }: StoreStateEntry): string {
  if (state === 'away') return `Away: ${code}${shard === undefined ? '' : ` at ${shard}`}`;
  const checks = `${count(decided)} check${decided === 1 ? '' : 's'}`;
  return `Back after ${duration(durationMs)}: ${checks} by ${policy}`;
}
