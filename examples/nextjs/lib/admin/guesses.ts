// How often the operator's token may be guessed: the package limits its own door.

import { RateLimiter } from '@huntaze/rate-limit';
import { clientAddress } from './origin';
import { sameText } from './session';

const KEY = Symbol.for('huntaze.admin.guesses');
const place = globalThis as { [KEY]?: RateLimiter };

// Made at the first guess, not at import: a build imports every route.
function door(): RateLimiter {
  return (place[KEY] ??= new RateLimiter({ name: 'operator-address', limit: 10, windowMs: 60_000, anomaly: false }));
}

export type Guess = { readonly right: true } | { readonly right: false; readonly retryAfterMs: number };

/**
 * Compares what somebody says is the token. Each guess takes a slot of its address before it is looked at, so that many at
 * once win nothing; past the limit even the token itself is not looked at. A right one gives the address its slots back: an
 * API client that sends the token with every request never runs out.
 *
 * There is no limit over all addresses: whoever fills it would lock every operator out, and against many addresses the
 * length that `operatorToken` asks for is enough.
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
    // A configuration that cannot work, say. The operator who comes to see what is wrong must not be shut out by it.
    console.error('[AI Rate Limit] Guesses of the operator token are not limited', error);
    return { allowed: true, retryAfterMs: 0, giveBack: async () => {} };
  }
}
