// Whether the store is unavailable, and the texts that the page shows meanwhile.

import type { DashboardData } from './live-state';

/** The circuit breaker decides: it opens when Redis does not answer, and closes when Redis answers again. */
export function isStoreUnavailable(data: DashboardData | undefined): boolean {
  return data?.processInfo.store === 'redis' && data.totals.breaker.state !== 'closed';
}

export const LOOKUP_UNAVAILABLE_NOTICE =
  'Redis is away: this answer is known to this process only, until Redis is back.';

export const RESET_UNAVAILABLE_NOTICE = 'Redis is away: the reset is known to this process only, until Redis is back.';
