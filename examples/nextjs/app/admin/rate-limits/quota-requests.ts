import type { CreatorPlan } from '@huntaze/rate-limit';
import type { Quota } from '@/lib/admin/dashboard-data';
import { QUOTA_PATH, RESET_PATH } from './api-paths';
import { requestTimeout } from './request-timeout';

/** A failed request: the reason, as a sentence for the operator. */
export interface Problem {
  readonly problem: string;
  readonly sessionOver?: boolean;
}

const NO_ANSWER: Problem = { problem: 'The server did not answer. Try again.' };

/** The creator's quota and its use. */
export async function lookUpQuota(creatorId: string, plan: CreatorPlan): Promise<Quota | Problem> {
  const response = await send(`${QUOTA_PATH}?${new URLSearchParams({ creatorId, plan })}`);
  if ('problem' in response) return response;
  try {
    return (await response.json()) as Quota;
  } catch {
    return NO_ANSWER;
  }
}

/** Resolves to undefined after success. */
export async function resetQuota(creatorId: string): Promise<Problem | undefined> {
  const response = await send(RESET_PATH, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ creatorId }),
  });
  return 'problem' in response ? response : undefined;
}

async function send(url: string, init?: RequestInit): Promise<Response | Problem> {
  try {
    const response = await fetch(url, { cache: 'no-store', signal: requestTimeout(), ...init });
    if (response.ok) return response;
    if (response.status === 401) return { problem: 'The session is over. Sign in again.', sessionOver: true };
    const { error } = (await response.json()) as { error?: string };
    return { problem: error ?? `The server refused (${response.status}).` };
  } catch {
    return NO_ANSWER;
  }
}
