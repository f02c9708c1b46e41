import { topCreators } from '@huntaze/rate-limit';
import { errorCode } from './json-responses';
import { processState, broadcast } from './process-state';

const MAX_CREATORS = 20;

/**
 * Queries the creators nearest to their quota and sends them to every stream. Only one query is in flight at a time,
 * for any number of streams; while Redis is slow, a second passes without a new query.
 */
export async function refreshTopCreators(): Promise<void> {
  if (processState.queryingTopCreators) return;
  processState.queryingTopCreators = true;
  try {
    processState.topCreators = { at: Date.now(), creators: await topCreators(MAX_CREATORS) };
  } catch (error) {
    // topCreators rejects under onStoreError 'throw'. The last known list stays, with the error.
    const { at = Date.now(), creators = [] } = processState.topCreators ?? {};
    processState.topCreators = { at, creators, error: errorCode(error) };
  } finally {
    processState.queryingTopCreators = false;
  }
  broadcast('top-creators', processState.topCreators);
}
