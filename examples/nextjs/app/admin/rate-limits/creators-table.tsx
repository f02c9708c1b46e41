import type { TopCreator } from '@huntaze/rate-limit';
import type { TopCreatorsSnapshot } from '@/lib/admin/dashboard-data';
import type { SelectedCreator } from './dashboard';
import { clockTime, count, duration, printable } from './format';
import { useFrozenOrder } from './use-frozen-order';

interface CreatorsTableProps {
  topCreators: TopCreatorsSnapshot | null;
  /** The server's clock, in Unix ms. */
  now?: number;
  onSelect: (selected: SelectedCreator) => void;
}

export function CreatorsTable({ topCreators, now, onSelect }: CreatorsTableProps) {
  const { items, frozen, listeners } = useFrozenOrder(topCreators?.creators ?? [], ({ creatorId }) => creatorId);
  return (
    <section className="panel creators" aria-labelledby="creators-title">
      <div className="panel-head">
        <h2 id="creators-title">Creators nearest to their quota</h2>
        <p className="muted">{statusNote(topCreators, frozen)}</p>
      </div>
      {items.length === 0 ? (
        <p className="empty">No creator has used anything of a quota that this process has seen.</p>
      ) : (
        <table {...listeners}>
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
                <span className="visually-hidden">Action</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {items.map((creator) => (
              <CreatorRow key={creator.creatorId} creator={creator} now={now ?? topCreators!.at} onSelect={onSelect} />
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

function CreatorRow({
  creator,
  now,
  onSelect,
}: {
  creator: TopCreator;
  now: number;
  onSelect: CreatorsTableProps['onSelect'];
}) {
  const { creatorId, plan, limit, used, remaining, reset, requests } = creator;
  const id = printable(creatorId);
  const share = Math.min(used / limit, 1);
  const level = remaining === 0 ? 'full' : share >= 0.8 ? 'near' : 'ok';
  return (
    <tr data-creator={creatorId} data-level={level}>
      <th scope="row" className="id">
        {/* Long ids are cut off visually, not for screen readers. */}
        <bdi title={id}>{id}</bdi>
      </th>
      <td className="plan">{plan ?? '–'}</td>
      <td className="used">
        {/* Hidden from screen readers: the text next to the bar contains the same numbers. */}
        <span className="usage-bar" aria-hidden="true">
          <i style={{ width: `${share * 100}%` }} />
        </span>
        <span className="usage-text">
          <b>{count(used)}</b> of {count(limit)}
          {level === 'full' && <em> used up</em>}
        </span>
      </td>
      <td className="number resets">{duration(reset - now)}</td>
      <td className="number requests">{count(requests)}</td>
      <td className="action">
        <button type="button" className="text-button" onClick={() => onSelect({ creatorId, plan: plan ?? 'pro' })}>
          Look up<span className="visually-hidden"> {id}</span>
        </button>
      </td>
    </tr>
  );
}

function statusNote(topCreators: TopCreatorsSnapshot | null, frozen: boolean): string {
  if (topCreators === null) return 'Asking the store…';
  if (topCreators.error !== undefined)
    return `As of ${clockTime(topCreators.at)}: the store did not answer (${topCreators.error}).`;
  // Called whether or not the order is frozen, because the list may have changed.
  if (topCreators.creators.some(({ source }) => source === 'local'))
    return 'Redis is away: this process’s own admissions';
  // Both texts fit one line on a phone: a row must not move between the press and the release of a finger.
  return frozen ? 'Order held while you are here' : 'By the store; requests, by this process';
}
