import type { ProcessInfo, StoreStateEntry, Totals } from '@/lib/admin/dashboard-data';
import { count } from './format';
import { OutageList } from './outage-list';

interface StorePanelProps {
  totals: Totals;
  storeChanges: readonly StoreStateEntry[];
  store: ProcessInfo['store'];
}

export function StorePanel({ totals, storeChanges, store }: StorePanelProps) {
  const { breaker, connections, storeErrors } = totals;
  const errors = Object.entries(storeErrors).sort(([, a], [, b]) => b - a);
  return (
    <section className="panel store" aria-labelledby="store-title">
      <div className="panel-head">
        <h2 id="store-title">Store</h2>
        <p className="muted">{store === 'redis' ? 'Redis' : 'Embedded store'}</p>
      </div>
      {store === 'embedded' ? (
        <p className="empty">In the memory of this process: no connections, and nothing that could fail.</p>
      ) : (
        <dl className="key-values">
          <Pair name="Breaker" value={breaker.state} />
          <Pair name="Openings" value={count(breaker.openings)} />
          <Pair name="Connections open" value={count(connections.open)} />
          <Pair name="Opened so far" value={count(connections.opened)} />
          <Pair name="Reconnects" value={count(connections.reconnects)} />
          <Pair name="Attempts that failed" value={count(connections.failed)} />
        </dl>
      )}
      {/* The list exists before the first change, which a screen reader would not announce otherwise. */}
      {store === 'redis' && <OutageList storeChanges={storeChanges} />}
      {/* Requests of this page count as well: the list of top creators, and look-ups. */}
      {errors.length > 0 && (
        <table>
          <caption>Store errors by code</caption>
          <thead>
            <tr>
              <th scope="col">Code</th>
              <th scope="col" className="number">
                Questions unanswered
              </th>
            </tr>
          </thead>
          <tbody>
            {errors.map(([code, n]) => (
              <tr key={code}>
                <th scope="row">
                  <code>{code}</code>
                </th>
                <td className="number">{count(n)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

function Pair({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}
