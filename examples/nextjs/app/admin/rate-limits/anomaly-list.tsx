import type { AnomalyEntry } from '@/lib/admin/dashboard-data';
import { clockTime, count, printable } from './format';

export function AnomalyList({ anomalies, total }: { anomalies: readonly AnomalyEntry[]; total: number }) {
  return (
    <section className="panel anomalies" aria-labelledby="anomalies-title">
      <div className="panel-head">
        <h2 id="anomalies-title">Anomalies</h2>
        <p className="muted">{count(total)} reported to this process</p>
      </div>
      {anomalies.length === 0 && (
        <p className="empty">No creator has asked for more than twice the limit in five minutes.</p>
      )}
      {/* A log region announces added entries. It exists before the first entry, which would not be announced
          otherwise. */}
      <div
        role="log"
        aria-labelledby="anomalies-title"
        className="scroll"
        tabIndex={anomalies.length > 0 ? 0 : undefined}
      >
        <ol>
          {anomalies.map(({ number, creatorId, plan, requestsIn5Min, threshold, timestamp }) => (
            <li key={number} data-anomaly={creatorId}>
              <time dateTime={timestamp}>{clockTime(timestamp)}</time>
              <span className="description">
                <bdi className="id">{printable(creatorId)}</bdi> <span className="plan">{plan}</span>
              </span>
              <span className="number">
                <b>{count(requestsIn5Min)}</b> in 5 min, {count(threshold)} is ordinary
              </span>
            </li>
          ))}
        </ol>
      </div>
    </section>
  );
}
