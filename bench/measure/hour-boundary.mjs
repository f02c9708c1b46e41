// Windows that begin at the full hour forget a used-up quota there: no measurement of denials may cross it.

import { setTimeout as sleep } from 'node:timers/promises';

const HOUR_MS = 3_600_000;

/** The time for filling the logs, for the warm-up, and for the last checks of a slow contender. */
const MARGIN_MS = 5000;

export async function avoidFullHour(seconds) {
  const left = HOUR_MS - (Date.now() % HOUR_MS);
  if (left < seconds * 1000 + MARGIN_MS) await sleep(left);
}
