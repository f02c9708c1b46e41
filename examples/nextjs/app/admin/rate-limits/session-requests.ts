import { SESSION_API } from './api-paths';
import { answerInTime } from './request-timeout';
import { tellSignOut } from './sign-out';

/** Only an explicit answer ends the session; an unavailable server does not. */
export async function sessionIsOver(): Promise<boolean> {
  try {
    const { status } = await fetch(SESSION_API, { cache: 'no-store', signal: answerInTime() });
    return status === 401 || status === 403;
  } catch {
    return false;
  }
}

/** Whether the server has done it. */
export async function endSession(): Promise<boolean> {
  try {
    const { ok } = await fetch(SESSION_API, { method: 'DELETE', signal: answerInTime() });
    if (ok) tellSignOut();
    return ok;
  } catch {
    return false;
  }
}
