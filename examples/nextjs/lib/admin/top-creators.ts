import { topCreators } from '@huntaze/rate-limit';
import { errorCode } from './json-responses';
import { processState, broadcast } from './process-state';

const MAX_CREATORS = 20;

/**
 * Queries the creators' status and sends it to every stream. One query at a time, for any number of streams; while
 * Redis is slow the next second sends no query.
 */
export async function refreshTopCreators(): Promise<void> {
  if (processState.queryingTopCreators) return;
  processState.queryingTopCreators = true;
  try {
    processState.topCreators = { at: Date.now(), creators: await topCreators(MAX_CREATORS) };
  } catch (error) {
    // Under onStoreError 'throw'. The last known status stays, marked as old.
    const { at = Date.now(), creators = [] } = processState.topCreators ?? {};
    processState.topCreators = { at, creators, error: errorCode(error) };
  } finally {
    processState.queryingTopCreators = false;
  }
  broadcast('top-creators', processState.topCreators);
}
