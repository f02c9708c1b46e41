// Limits the attempts to guess the operator's token, with this package.

import { RateLimiter } from '@huntaze/rate-limit';
import { clientAddress } from './origin';
import { equalInConstantTime } from './session';

const KEY = Symbol.for('huntaze.admin.token-attempts');
const globals = globalThis as { [KEY]?: RateLimiter };

// The limiter is created at the first attempt, not at import, because a build imports every route.
function attemptLimiter(): RateLimiter {
  return (globals[KEY] ??= new RateLimiter({ name: 'operator-address', limit: 10, windowMs: 60_000, anomaly: false }));
}

export type TokenCheck = { readonly valid: true } | { readonly valid: false; readonly retryAfterMs: number };

/**
 * Compares a presented token with the operator's. Each attempt is counted for its address before the comparison, so
 * that concurrent attempts gain nothing. Beyond the limit even the right token is refused. The right token resets the
 * quota of its address, so that an API client that sends it with every request is never limited.
 *
 * There is no limit over all addresses: an attacker could use it up and lock every operator out, and against many
 * addresses the length that `operatorToken` requires is enough.
 */
export async function checkToken(headers: Headers, presented: string, token: string): Promise<TokenCheck> {
  const address = clientAddress(headers);
  const attempt = await takeAttempt(address);
  if (!attempt.allowed) return { valid: false, retryAfterMs: attempt.retryAfterMs };
  if (!equalInConstantTime(presented, token)) return { valid: false, retryAfterMs: 0 };
  await attempt.resetAttempts();
  return { valid: true };
}

async function takeAttempt(address: string) {
  try {
    const { allowed, retryAfterMs } = await attemptLimiter().limit(address);
    return { allowed, retryAfterMs, resetAttempts: () => attemptLimiter().reset(address) };
  } catch (error) {
    // For example, the configuration is invalid. The operator must be able to sign in and see what is wrong.
    console.error('[AI Rate Limit] Guesses of the operator token are not limited', error);
    return { allowed: true, retryAfterMs: 0, resetAttempts: async () => {} };
  }
}
