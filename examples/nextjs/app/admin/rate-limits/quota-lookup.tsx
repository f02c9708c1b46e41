import type { CreatorPlan } from '@huntaze/rate-limit';
import { type FormEvent, memo, useEffect, useRef, useState } from 'react';
import { PLANS, type Quota } from '@/lib/admin/dashboard-data';
import type { SelectedCreator } from './dashboard';
import { count, duration, printable } from './format';
import { lookUpQuota, type Problem, resetQuota } from './quota-requests';
import { ResetDialog } from './reset-dialog';
import { LOOKUP_UNAVAILABLE_NOTICE, RESET_UNAVAILABLE_NOTICE } from './store-unavailable';

interface QuotaLookupProps {
  selected?: SelectedCreator;
  /** Redis does not answer: the shown status is this process's own. */
  storeUnavailable: boolean;
  /** Called when a response says that the session is over. The callback must be stable, or memo() has no effect. */
  onSessionOver: () => void;
}

/**
 * Looks up one creator's quota, and resets it. It is memoized, because the user types in its fields while the page is
 * rendered every second.
 */
export const QuotaLookup = memo(function QuotaLookup({ selected, storeUnavailable, onSessionOver }: QuotaLookupProps) {
  const form = useRef<HTMLFormElement>(null);
  const resetButton = useRef<HTMLButtonElement>(null);
  const [creatorId, setCreatorId] = useState('');
  const [plan, setPlan] = useState<CreatorPlan>('pro');
  const [quota, setQuota] = useState<Quota>();
  const [message, setMessage] = useState('');
  const [confirming, setConfirming] = useState(false);

  // Responses arrive in any order; only the response to the latest request is shown.
  const latestRequest = useRef(0);
  // A ref, because the value at the time of the response counts, not the value at the time of the request.
  const unavailable = useRef(storeUnavailable);
  useEffect(() => {
    unavailable.current = storeUnavailable;
  }, [storeUnavailable]);

  async function showQuota(id: string, of: CreatorPlan) {
    const number = ++latestRequest.current;
    const result = await lookUpQuota(id, of);
    if (number !== latestRequest.current) return;
    if ('problem' in result) return fail(result);
    setQuota(result);
    setMessage(joinSentences(quotaSentence(result), unavailable.current && LOOKUP_UNAVAILABLE_NOTICE));
  }

  async function reset(id: string, of: CreatorPlan) {
    setConfirming(false);
    const number = ++latestRequest.current;
    const problem = await resetQuota(id);
    // The result of the reset is reported even if another creator is shown by now.
    const done = joinSentences(
      `The quota of ${printable(id)} was reset.`,
      unavailable.current && RESET_UNAVAILABLE_NOTICE,
    );
    if (number !== latestRequest.current)
      return setMessage((laterMessage) => joinSentences(problem?.problem ?? done, laterMessage));
    if (problem !== undefined) return fail(problem, true);
    const result = await lookUpQuota(id, of);
    if (number !== latestRequest.current) return;
    if ('problem' in result) return fail({ ...result, problem: joinSentences(done, result.problem) });
    setQuota(result);
    setMessage(joinSentences(done, quotaSentence(result)));
  }

  /** A failed reset keeps the looked-up creator, so that it can be tried again. */
  function fail({ problem, sessionOver = false }: Problem, keep = false) {
    if (!keep || sessionOver) setQuota(undefined);
    setMessage(problem);
    if (sessionOver) onSessionOver();
  }

  useEffect(() => {
    if (selected === undefined) return;
    setCreatorId(selected.creatorId);
    setPlan(selected.plan);
    void showQuota(selected.creatorId, selected.plan);
    // A selected creator moves the focus here; the text field is not focused, because that would open the keyboard on a
    // phone.
    form.current?.querySelector<HTMLButtonElement>('[type=submit]')?.focus();
    // oxlint-disable-next-line react-hooks/exhaustive-deps -- `showQuota` is new at each rendering, and a selection is looked up once
  }, [selected]);

  function submit(event: FormEvent) {
    event.preventDefault();
    void showQuota(creatorId, plan);
  }

  return (
    <section className="panel quota-lookup" aria-labelledby="quota-lookup-title">
      <div className="panel-head">
        <h2 id="quota-lookup-title">A creator’s quota</h2>
        <p className="muted">
          {storeUnavailable ? 'Redis is away: by this process alone' : 'By the store, for all processes'}
        </p>
      </div>
      <form ref={form} onSubmit={submit} className="form-row">
        <label>
          Creator id
          <input
            value={creatorId}
            onChange={({ target }) => setCreatorId(target.value)}
            required
            maxLength={256}
            autoComplete="off"
            autoCapitalize="none"
            spellCheck={false}
          />
        </label>
        <label>
          Plan
          <select value={plan} onChange={({ target }) => setPlan(target.value as CreatorPlan)}>
            {PLANS.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <button type="submit">Look up</button>
      </form>
      <p role="status" aria-live="polite" className="status-message">
        {message}
      </p>
      {quota !== undefined && (
        <button ref={resetButton} type="button" className="danger" onClick={() => setConfirming(true)}>
          Reset the quota…
        </button>
      )}
      {quota !== undefined && (
        <ResetDialog
          quota={quota}
          storeUnavailable={storeUnavailable}
          open={confirming}
          onCancel={() => setConfirming(false)}
          onConfirm={() => reset(quota.creatorId, quota.plan)}
        />
      )}
    </section>
  );
});

/** Joins the sentences that are not false. */
function joinSentences(...sentences: (string | false)[]): string {
  return sentences.filter(Boolean).join(' ');
}

function quotaSentence({ creatorId, plan, limit, used, remaining, resetsInMs }: Quota): string {
  const left = remaining === 0 ? 'nothing left' : `${count(remaining)} left`;
  const when = used === 0 ? 'Nothing of it is used.' : `Empty again in ${duration(resetsInMs)}.`;
  return `${printable(creatorId)} on ${plan}: ${count(used)} of ${count(limit)} used, ${left}. ${when}`;
}
