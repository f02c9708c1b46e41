import type { CreatorPlan } from '@huntaze/rate-limit';
import { type FormEvent, memo, useEffect, useRef, useState } from 'react';
import { PLANS, type Quota } from '@/lib/admin/figures';
import type { Pick } from './dashboard';
import { count, duration, printable } from './format';
import { lookUp, type Problem, resetQuota } from './quota-requests';
import { ResetDialog } from './reset-dialog';
import { ANSWER_AWAY, RESET_AWAY } from './store-away';

interface QuotaDeskProps {
  pick?: Pick;
  /** Redis does not answer: what is said here is this process's word alone. */
  storeAway: boolean;
  /** An answer said that the session is over. Stable, as is the rest. */
  onSessionOver: () => void;
}

/** One creator's quota, looked up and given back. Not drawn again with each second: its text fields are being typed in. */
export const QuotaDesk = memo(function QuotaDesk({ pick, storeAway, onSessionOver }: QuotaDeskProps) {
  const form = useRef<HTMLFormElement>(null);
  const resetButton = useRef<HTMLButtonElement>(null);
  const [creatorId, setCreatorId] = useState('');
  const [plan, setPlan] = useState<CreatorPlan>('pro');
  const [quota, setQuota] = useState<Quota>();
  const [said, setSaid] = useState('');
  const [asking, setAsking] = useState(false);

  // The answers come in any order; only that to the last question is of interest.
  const asked = useRef(0);
  // As it is when an answer comes, not as it was when it was asked for.
  const away = useRef(storeAway);
  useEffect(() => {
    away.current = storeAway;
  }, [storeAway]);

  async function look(id: string, of: CreatorPlan) {
    const number = ++asked.current;
    const result = await lookUp(id, of);
    if (number !== asked.current) return;
    if ('problem' in result) return fail(result);
    setQuota(result);
    setSaid(told(sentence(result), away.current && ANSWER_AWAY));
  }

  async function reset(id: string, of: CreatorPlan) {
    setAsking(false);
    const number = ++asked.current;
    const problem = await resetQuota(id);
    // It is done whoever is looked up by now, and so is said; what failed is said, too.
    const done = told(`The quota of ${printable(id)} was reset.`, away.current && RESET_AWAY);
    if (number !== asked.current) return setSaid((later) => told(problem?.problem ?? done, later));
    if (problem !== undefined) return fail(problem, true);
    const result = await lookUp(id, of);
    if (number !== asked.current) return;
    if ('problem' in result) return fail({ ...result, problem: told(done, result.problem) });
    setQuota(result);
    setSaid(told(done, sentence(result)));
  }

  /** A reset that failed leaves what was looked up, so that it can be tried again. */
  function fail({ problem, sessionOver = false }: Problem, keep = false) {
    if (!keep || sessionOver) setQuota(undefined);
    setSaid(problem);
    if (sessionOver) onSessionOver();
  }

  useEffect(() => {
    if (pick === undefined) return;
    setCreatorId(pick.creatorId);
    setPlan(pick.plan);
    void look(pick.creatorId, pick.plan);
    // Who picked a creator goes on from here; the field is left alone, which on a phone would open the keyboard.
    form.current?.querySelector<HTMLButtonElement>('[type=submit]')?.focus();
    // oxlint-disable-next-line react-hooks/exhaustive-deps -- `look` is another one at each rendering, a pick is looked up once
  }, [pick]);

  function submit(event: FormEvent) {
    event.preventDefault();
    void look(creatorId, plan);
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

/** The sentences that are there, in one. */
function told(...sentences: (string | false)[]): string {
  return sentences.filter(Boolean).join(' ');
}

function sentence({ creatorId, plan, limit, used, remaining, resetsInMs }: Quota): string {
  const left = remaining === 0 ? 'nothing left' : `${count(remaining)} left`;
  const when = used === 0 ? 'Nothing of it is used.' : `Empty again in ${duration(resetsInMs)}.`;
  return `${printable(creatorId)} on ${plan}: ${count(used)} of ${count(limit)} used, ${left}. ${when}`;
}
