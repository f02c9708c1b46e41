// Limits the attempts to guess the operator's token, with this package.

import { RateLimiter } from '@huntaze/rate-limit';
import { clientAddress } from './origin';
import { sameText } from './session';

const KEY = Symbol.for('huntaze.admin.guesses');
const globals = globalThis as { [KEY]?: RateLimiter };

// Created at the first attempt, not at import: a build imports every route.
function door(): RateLimiter {
  return (globals[KEY] ??= new RateLimiter({ name: 'operator-address', limit: 10, windowMs: 60_000, anomaly: false }));
}

export type Guess = { readonly right: true } | { readonly right: false; readonly retryAfterMs: number };

/**
 * Compares a presented token. Each attempt takes a slot of its address before the comparison, so that concurrent
 * attempts gain nothing; beyond the limit even the right token is refused. A right one resets the quota of its address:
 * an API client that sends the token with every request is never limited.
 *
 * There is no limit over all addresses: an attacker could use it up and lock every operator out, and against many
 * addresses the length that `operatorToken` requires is enough.
 */
export async function guess(headers: Headers, said: string, token: string): Promise<Guess> {
  const from = clientAddress(headers);
  const taken = await slot(from);
  if (!taken.allowed) return { right: false, retryAfterMs: taken.retryAfterMs };
  if (!sameText(said, token)) return { right: false, retryAfterMs: 0 };
  await taken.giveBack();
  return { right: true };
}

async function slot(from: string) {
  try {
    const { allowed, retryAfterMs } = await door().limit(from);
    return { allowed, retryAfterMs, giveBack: () => door().reset(from) };
  } catch (error) {
    // For example an invalid configuration. It must not lock out the operator who wants to see what is wrong.
    console.error('[AI Rate Limit] Guesses of the operator token are not limited', error);
    return { allowed: true, retryAfterMs: 0, giveBack: async () => {} };
  }
}
