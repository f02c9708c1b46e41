import { useRouter } from 'next/navigation';
import { useState } from 'react';
import type { ProcessFacts } from '@/lib/admin/dashboard-data';
import { leave, useArrival } from './heading-focus';
import { clockTime } from './format';
import type { Link } from './live-state';
import { endSession } from './session-requests';

const LINKS: Record<Link, string> = {
  connecting: 'Connecting…',
  live: 'Live',
  reconnecting: 'Reconnecting…',
  ended: 'Session over',
};

export function Masthead({ link, facts }: { link: Link; facts?: ProcessFacts }) {
  const router = useRouter();
  const heading = useArrival();
  const [problem, setProblem] = useState('');

  async function signOut() {
    setProblem('');
    if (!(await endSession())) return setProblem('The server did not answer: you are still signed in.');
    signInPage();
  }

  function signInPage() {
    leave();
    router.refresh();
  }

  return (
    <header className="masthead">
      <div>
        <h1 ref={heading} tabIndex={-1}>
          Rate limits
        </h1>
        <p className="quiet">
          {facts === undefined ? (
            'Figures of one process; quotas are the store’s.'
          ) : (
            <>
              Figures of process <b data-fact="pid">{facts.pid}</b> since {clockTime(facts.since)}; quotas are the
              store’s: <b data-fact="store">{facts.store === 'redis' ? 'Redis' : 'embedded store'}</b>.{' '}
              <span data-fact="watching">{facts.watching}</span> watching.
            </>
          )}
        </p>
      </div>
      {/* Announced when it changes, and only then. */}
      <p role="status" className="link" data-link={link}>
        {LINKS[link]}
      </p>
      <p role="alert" className="problem">
        {problem}
      </p>
      {link === 'ended' ? (
        <button type="button" onClick={signInPage}>
          Sign in again
        </button>
      ) : (
        <button type="button" onClick={signOut}>
          Sign out
        </button>
      )}
    </header>
  );
}
