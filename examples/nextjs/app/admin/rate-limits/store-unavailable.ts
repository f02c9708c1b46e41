// The texts for an unavailable store.

import type { Figures } from './live-state';

/** By the breaker: it opens when Redis does not answer, and closes when it does again. */
export function isStoreAway(figures: Figures | undefined): boolean {
  return figures?.facts.store === 'redis' && figures.totals.breaker.state !== 'closed';
}

export const ANSWER_AWAY = 'Redis is away: this answer is known to this process only, until Redis is back.';

export const RESET_AWAY = 'Redis is away: the reset is known to this process only, until Redis is back.';
