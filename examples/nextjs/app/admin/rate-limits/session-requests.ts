import { SESSION_PATH } from './api-paths';
import { requestTimeout } from './request-timeout';
import { announceSignOut } from './sign-out';

/** Whether the server answers that the session is over. An unavailable server does not end the session. */
export async function isSessionOver(): Promise<boolean> {
  try {
    const { status } = await fetch(SESSION_PATH, { cache: 'no-store', signal: requestTimeout() });
    return status === 401 || status === 403;
  } catch {
    return false;
  }
}

/** Whether the server has ended the session. */
export async function endSession(): Promise<boolean> {
  try {
    const { ok } = await fetch(SESSION_PATH, { method: 'DELETE', signal: requestTimeout() });
    if (ok) announceSignOut();
    return ok;
  } catch {
    return false;
  }
}
