import { topCreators } from '@huntaze/rate-limit';
import { codeOf } from './answers';
import { observation, tellAll } from './observation';

const SHOWN = 20;

/**
 * Asks the store where the creators stand and tells every watcher. One question at a time, however many watch; while Redis
 * is slow the next second asks nothing.
 */
export async function askStanding(): Promise<void> {
  if (observation.askingStanding) return;
  observation.askingStanding = true;
  try {
    observation.standing = { at: Date.now(), creators: await topCreators(SHOWN) };
  } catch (error) {
    // Under onStoreError 'throw'. What was last known stays, and is said to be old.
    const { at = Date.now(), creators = [] } = observation.standing ?? {};
    observation.standing = { at, creators, error: codeOf(error) };
  } finally {
    observation.askingStanding = false;
  }
  tellAll('standing', observation.standing);
}
