import { useRouter } from 'next/navigation';
import { useState } from 'react';
import type { ProcessInfo } from '@/lib/admin/dashboard-data';
import { focusNextHeading, useHeadingFocus } from './heading-focus';
import { clockTime } from './format';
import type { ConnectionState } from './live-state';
import { endSession } from './session-requests';

const CONNECTION_LABELS: Record<ConnectionState, string> = {
  connecting: 'Connecting…',
  live: 'Live',
  reconnecting: 'Reconnecting…',
  ended: 'Session over',
};

export function PageHeader({ connection, processInfo }: { connection: ConnectionState; processInfo?: ProcessInfo }) {
  const router = useRouter();
  const heading = useHeadingFocus();
  const [problem, setProblem] = useState('');

  async function signOut() {
    setProblem('');
    if (!(await endSession())) return setProblem('The server did not answer: you are still signed in.');
    showSignIn();
  }

  function showSignIn() {
    focusNextHeading();
    router.refresh();
  }

  return (
    <header className="page-header">
      <div>
        <h1 ref={heading} tabIndex={-1}>
          Rate limits
        </h1>
        <p className="muted">
          {processInfo === undefined ? (
            'Figures of one process; quotas are the store’s.'
          ) : (
            <>
              Figures of process <b data-info="pid">{processInfo.pid}</b> since {clockTime(processInfo.since)}; quotas
              are the store’s: <b data-info="store">{processInfo.store === 'redis' ? 'Redis' : 'embedded store'}</b>.{' '}
              <span data-info="open-streams">{processInfo.openStreams}</span> watching.
            </>
          )}
        </p>
      </div>
      {/* Screen readers announce a status only when its text changes. */}
      <p role="status" className="connection" data-connection={connection}>
        {CONNECTION_LABELS[connection]}
      </p>
      <p role="alert" className="problem">
        {problem}
      </p>
      {connection === 'ended' ? (
        <button type="button" onClick={showSignIn}>
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
