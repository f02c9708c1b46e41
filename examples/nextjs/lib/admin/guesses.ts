// How often the operator's token may be guessed: the package limits its own door.

import { RateLimiter } from '@huntaze/rate-limit';
import { clientAddress } from './origin';
import { sameText } from './session';

const MINUTE = 60_000;

interface Doors {
  readonly address: RateLimiter;
  readonly all: RateLimiter;
}

const KEY = Symbol.for('huntaze.admin.guesses');
const place = globalThis as { [KEY]?: Doors };

// Made at the first guess, not at import: a build imports every route.
function doors(): Doors {
  return (place[KEY] ??= {
    address: new RateLimiter({ name: 'operator-address', limit: 10, windowMs: MINUTE, anomaly: false }),
    // Against many addresses at once. Who fills it keeps operators from signing in for a minute, but ends no session.
    all: new RateLimiter({ name: 'operator-all', limit: 100, windowMs: MINUTE, anomaly: false }),
  });
}

export type Guess = { readonly right: true } | { readonly right: false; readonly retryAfterMs: number };

/**
 * Compares what somebody says is the token. Each guess takes its slot before it is looked at, so that many at once win
 * nothing; past the limit even the token itself is not looked at. A right one gives the address its slots back: an API
 * client that sends the token with every request never runs out.
 */
export async function guess(headers: Headers, said: string, token: string): Promise<Guess> {
  const { address, all } = doors();
  const from = clientAddress(headers);
  const here = await address.limit(from);
  if (!here.allowed) return { right: false, retryAfterMs: here.retryAfterMs };
  const everywhere = await all.status('all');
  if (everywhere.remaining === 0) return { right: false, retryAfterMs: MINUTE };
  if (sameText(said, token)) {
    await address.reset(from);
    return { right: true };
  }
  await all.limit('all');
  return { right: false, retryAfterMs: 0 };
}
