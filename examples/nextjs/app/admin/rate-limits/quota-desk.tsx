import type { CreatorPlan } from '@huntaze/rate-limit';
import { type FormEvent, memo, useEffect, useRef, useState } from 'react';
import { PLANS, type Quota } from '@/lib/admin/figures';
import type { Pick } from './dashboard';
import { count, duration, printable } from './format';
import { lookUp, resetQuota } from './quota-requests';
import { ResetDialog } from './reset-dialog';

/** One creator's quota, looked up and given back. Not drawn again with each second: its text fields are being typed in. */
export const QuotaDesk = memo(function QuotaDesk({ pick }: { pick?: Pick }) {
  const form = useRef<HTMLFormElement>(null);
  const resetButton = useRef<HTMLButtonElement>(null);
  const [creatorId, setCreatorId] = useState('');
  const [plan, setPlan] = useState<CreatorPlan>('pro');
  const [quota, setQuota] = useState<Quota>();
  const [said, setSaid] = useState('');
  const [asking, setAsking] = useState(false);

  async function look(id: string, of: CreatorPlan, before = '') {
    const result = await lookUp(id, of);
    setQuota(typeof result === 'string' ? undefined : result);
    setSaid(before + (typeof result === 'string' ? result : sentence(result)));
  }

  async function reset(id: string) {
    setAsking(false);
    const problem = await resetQuota(id);
    if (problem !== undefined) return setSaid(problem);
    await look(id, plan, `The quota of ${printable(id)} was reset. `);
  }

  useEffect(() => {
    if (pick === undefined) return;
    setCreatorId(pick.creatorId);
    setPlan(pick.plan);
    void look(pick.creatorId, pick.plan);
    // Who picked a creator goes on from here; the field is left alone, which on a phone would open the keyboard.
    form.current?.querySelector<HTMLButtonElement>('[type=submit]')?.focus();
  }, [pick]);

  function submit(event: FormEvent) {
    event.preventDefault();
    void look(creatorId, plan);
  }

  return (
    <section className="panel desk" aria-labelledby="desk-title">
      <div className="panel-head">
        <h2 id="desk-title">A creator’s quota</h2>
        <p className="quiet">By the store, for all processes</p>
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
          open={asking}
          onCancel={() => setAsking(false)}
          onConfirm={() => reset(quota.creatorId)}
        />
      )}
    </section>
  );
});

function sentence({ creatorId, plan, limit, used, remaining, resetsInMs }: Quota): string {
  const left = remaining === 0 ? 'nothing left' : `${count(remaining)} left`;
  const when = used === 0 ? 'Nothing of it is used.' : `Empty again in ${duration(resetsInMs)}.`;
  return `${printable(creatorId)} on ${plan}: ${count(used)} of ${count(limit)} used, ${left}. ${when}`;
}
