import type { CreatorPlan } from '@huntaze/rate-limit';
import { type FormEvent, memo, useEffect, useRef, useState } from 'react';
import { PLANS, type Quota } from '@/lib/admin/dashboard-data';
import type { Pick } from './dashboard';
import { count, duration, printable } from './format';
import { lookUp, type Problem, resetQuota } from './quota-requests';
import { ResetDialog } from './reset-dialog';
import { ANSWER_AWAY, RESET_AWAY } from './store-unavailable';

interface QuotaDeskProps {
  pick?: Pick;
  /** Redis does not answer: the shown status is this process's own. */
  storeAway: boolean;
  /** Called when a response says that the session is over. Stable, like the other callbacks. */
  onSessionOver: () => void;
}

/**
 * Looks up one creator's quota, and resets it. Not rendered again each second, because the user types in its fields.
 */
export const QuotaDesk = memo(function QuotaDesk({ pick, storeAway, onSessionOver }: QuotaDeskProps) {
  const form = useRef<HTMLFormElement>(null);
  const resetButton = useRef<HTMLButtonElement>(null);
  const [creatorId, setCreatorId] = useState('');
  const [plan, setPlan] = useState<CreatorPlan>('pro');
  const [quota, setQuota] = useState<Quota>();
  const [said, setSaid] = useState('');
  const [asking, setAsking] = useState(false);

  // Responses arrive in any order; only that to the last request matters.
  const asked = useRef(0);
  // Its value when a response arrives, not when the request was sent.
  const away = useRef(storeAway);
  useEffect(() => {
    away.current = storeAway;
  }, [storeAway]);

  async function showQuota(id: string, of: CreatorPlan) {
    const number = ++asked.current;
    const result = await lookUp(id, of);
    if (number !== asked.current) return;
    if ('problem' in result) return fail(result);
    setQuota(result);
    setSaid(joined(sentence(result), away.current && ANSWER_AWAY));
  }

  async function reset(id: string, of: CreatorPlan) {
    setAsking(false);
    const number = ++asked.current;
    const problem = await resetQuota(id);
    // The reset is done, whichever creator is shown by now, so it is reported; a failure is reported, too.
    const done = joined(`The quota of ${printable(id)} was reset.`, away.current && RESET_AWAY);
    if (number !== asked.current) return setSaid((later) => joined(problem?.problem ?? done, later));
    if (problem !== undefined) return fail(problem, true);
    const result = await lookUp(id, of);
    if (number !== asked.current) return;
    if ('problem' in result) return fail({ ...result, problem: joined(done, result.problem) });
    setQuota(result);
    setSaid(joined(done, sentence(result)));
  }

  /** A failed reset keeps the looked-up creator, so that it can be tried again. */
  function fail({ problem, sessionOver = false }: Problem, keep = false) {
    if (!keep || sessionOver) setQuota(undefined);
    setSaid(problem);
    if (sessionOver) onSessionOver();
  }

  useEffect(() => {
    if (pick === undefined) return;
    setCreatorId(pick.creatorId);
    setPlan(pick.plan);
    void showQuota(pick.creatorId, pick.plan);
    // A picked creator moves the focus here; the text field is not focused, because that would open the keyboard on a
    // phone.
    form.current?.querySelector<HTMLButtonElement>('[type=submit]')?.focus();
    // oxlint-disable-next-line react-hooks/exhaustive-deps -- `showQuota` is new at each rendering, and a pick is looked up once
  }, [pick]);

  function submit(event: FormEvent) {
    event.preventDefault();
    void showQuota(creatorId, plan);
  }

  return (
    <section className="panel desk" aria-labelledby="desk-title">
      <div className="panel-head">
        <h2 id="desk-title">A creator’s quota</h2>
        <p className="quiet">
          {storeAway ? 'Redis is away: by this process alone' : 'By the store, for all processes'}
        </p>
      </div>
      <form ref={form} onSubmit={submit} className="fields">
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
      <p role="status" aria-live="polite" className="said">
        {said}
      </p>
      {quota !== undefined && (
        <button ref={resetButton} type="button" className="danger" onClick={() => setAsking(true)}>
          Reset the quota…
        </button>
      )}
      {quota !== undefined && (
        <ResetDialog
          quota={quota}
          storeAway={storeAway}
          open={asking}
          onCancel={() => setAsking(false)}
          onConfirm={() => reset(quota.creatorId, quota.plan)}
        />
      )}
    </section>
  );
});

/** Joins the sentences that are not false. */
function joined(...sentences: (string | false)[]): string {
  return sentences.filter(Boolean).join(' ');
}

function sentence({ creatorId, plan, limit, used, remaining, resetsInMs }: Quota): string {
  const left = remaining === 0 ? 'nothing left' : `${count(remaining)} left`;
  const when = used === 0 ? 'Nothing of it is used.' : `Empty again in ${duration(resetsInMs)}.`;
  return `${printable(creatorId)} on ${plan}: ${count(used)} of ${count(limit)} used, ${left}. ${when}`;
}
