import { topCreators } from '@huntaze/rate-limit';
import { codeOf } from './json-responses';
import { observation, tellAll } from './process-state';

const SHOWN = 20;

/**
 * Queries the creators' status and sends it to every stream. One query at a time, for any number of streams; while
 * Redis is slow the next second sends no query.
 */
export async function askStanding(): Promise<void> {
  if (observation.askingStanding) return;
  observation.askingStanding = true;
  try {
    observation.standing = { at: Date.now(), creators: await topCreators(SHOWN) };
  } catch (error) {
    // Under onStoreError 'throw'. The last known status stays, marked as old.
    const { at = Date.now(), creators = [] } = observation.standing ?? {};
    observation.standing = { at, creators, error: codeOf(error) };
  } finally {
    observation.askingStanding = false;
  }
  tellAll('standing', observation.standing);
}
