import type { SeenChange } from '@/lib/admin/dashboard-data';
import { clockTime, count, duration } from './format';

/** When the store became unavailable and when it was back, the newest first. */
export function OutageList({ changes }: { changes: readonly SeenChange[] }) {
  return (
    <div
      role="log"
      aria-label="Outages of the store"
      className="outages scroll"
      tabIndex={changes.length > 0 ? 0 : undefined}
    >
      <ol>
        {changes.map((change) => (
          <li key={change.number} data-change={change.state}>
            <time dateTime={new Date(change.at).toISOString()}>{clockTime(change.at)}</time>
            <span className="what">{textOf(change)}</span>
          </li>
        ))}
      </ol>
    </div>
  );
}

function textOf({ state, policy, code, shard, durationMs = 0, decided = 0 }: SeenChange): string {
  if (state === 'away') return `Away: ${code}${shard === undefined ? '' : ` at ${shard}`}`;
  const checks = `${count(decided)} check${decided === 1 ? '' : 's'}`;
  return `Back after ${duration(durationMs)}: ${checks} by ${policy}`;
}
