import type { CreatorPlan } from '@huntaze/rate-limit';
import type { Quota } from '@/lib/admin/figures';
import { QUOTA_API, RESET_API } from './endpoints';
import { answerInTime } from './patience';

const NO_ANSWER = 'The server did not answer. Try again.';

/** Where the creator stands, or a sentence that says why that is not known. */
export async function lookUp(creatorId: string, plan: CreatorPlan): Promise<Quota | string> {
  const response = await ask(`${QUOTA_API}?${new URLSearchParams({ creatorId, plan })}`);
  if (typeof response === 'string') return response;
  try {
    return (await response.json()) as Quota;
  } catch {
    return NO_ANSWER;
  }
}

/** Undefined when it is done, else a sentence that says why it is not. */
export async function resetQuota(creatorId: string): Promise<string | undefined> {
  const response = await ask(RESET_API, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ creatorId }),
  });
  return typeof response === 'string' ? response : undefined;
}

async function ask(url: string, init?: RequestInit): Promise<Response | string> {
  try {
    const response = await fetch(url, { cache: 'no-store', signal: answerInTime(), ...init });
    if (response.ok) return response;
    if (response.status === 401) return 'The session is over. Sign in again.';
    const { error } = (await response.json()) as { error?: string };
    return error ?? `The server refused (${response.status}).`;
  } catch {
    return NO_ANSWER;
  }
}
