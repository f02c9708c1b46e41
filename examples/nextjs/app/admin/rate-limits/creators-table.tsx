import type { TopCreator } from '@huntaze/rate-limit';
import type { Standing } from '@/lib/admin/dashboard-data';
import type { Pick } from './dashboard';
import { clockTime, count, duration, printable } from './format';
import { useHeldOrder } from './use-frozen-order';

interface CreatorsTableProps {
  standing: Standing | null;
  /** The server's clock, in Unix ms. */
  now?: number;
  onPick: (pick: Pick) => void;
}

export function CreatorsTable({ standing, now, onPick }: CreatorsTableProps) {
  const { items, held, hold } = useHeldOrder(standing?.creators ?? [], ({ creatorId }) => creatorId);
  return (
    <section className="panel creators" aria-labelledby="creators-title">
      <div className="panel-head">
        <h2 id="creators-title">Creators nearest to their quota</h2>
        <p className="quiet">{noteOf(standing, held)}</p>
      </div>
      {items.length === 0 ? (
        <p className="empty">No creator has used anything of a quota that this process has seen.</p>
      ) : (
        <table {...hold}>
          <thead>
            <tr>
              <th scope="col">Creator</th>
              <th scope="col">Plan</th>
              <th scope="col">Used</th>
              <th scope="col" className="number">
                Resets in
              </th>
              <th scope="col" className="number">
                Requests here
              </th>
              <th scope="col">
                <span className="unseen">Action</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {items.map((creator) => (
              <Row key={creator.creatorId} creator={creator} now={now ?? standing!.at} onPick={onPick} />
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

function Row({ creator, now, onPick }: { creator: TopCreator; now: number; onPick: CreatorsTableProps['onPick'] }) {
  const { creatorId, plan, limit, used, remaining, reset, requests } = creator;
  const id = printable(creatorId);
  const share = Math.min(used / limit, 1);
  const level = remaining === 0 ? 'full' : share >= 0.8 ? 'near' : 'well';
  return (
    <tr data-creator={creatorId} data-level={level}>
      <th scope="row" className="id">
        {/* Long ids are cut off visually, not for screen readers. */}
        <bdi title={id}>{id}</bdi>
      </th>
      <td className="plan">{plan ?? '–'}</td>
      <td className="used">
        {/* Decorative: the figures next to it say the same in text. */}
        <span className="meter" aria-hidden="true">
          <i style={{ width: `${share * 100}%` }} />
        </span>
        <span className="of">
          <b>{count(used)}</b> of {count(limit)}
          {level === 'full' && <em> used up</em>}
        </span>
      </td>
      <td className="number resets">{duration(reset - now)}</td>
      <td className="number requests">{count(requests)}</td>
      <td className="action">
        <button type="button" className="plain" onClick={() => onPick({ creatorId, plan: plan ?? 'pro' })}>
          Look up<span className="unseen"> {id}</span>
        </button>
      </td>
    </tr>
  );
}

function noteOf(standing: Standing | null, held: boolean): string {
  if (standing === null) return 'Asking the store…';
  if (standing.error !== undefined)
    return `As of ${clockTime(standing.at)}: the store did not answer (${standing.error}).`;
  // Called whether or not the order is held, because the list may have changed.
  if (standing.creators.some(({ source }) => source === 'local')) return 'Redis is away: this process’s own admissions';
  // Both fit one line on a phone: a row must not move between the press and the release of a finger.
  return held ? 'Order held while you are here' : 'By the store; requests, by this process';
}
