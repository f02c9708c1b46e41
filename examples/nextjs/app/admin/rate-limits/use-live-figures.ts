'use client';

import { useEffect, useReducer } from 'react';
import { SESSION_API, STREAM_API } from './endpoints';
import { type LiveState, liveState } from './live-state';

/** Five seconds without a figure: the connection is gone, whatever the browser still believes. */
const SILENCE_MS = 5000;
const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 10_000;
const EVENTS = ['history', 'second', 'anomaly', 'standing'] as const;

/**
 * The figures of the stream as they come. EventSource gives up for good when it is answered with an error, as by a proxy
 * whose server restarts, and it cannot tell why; so it is made anew here.
 */
export function useLiveFigures(): LiveState {
  const [state, dispatch] = useReducer(liveState, { link: 'connecting' });

  useEffect(() => {
    let source: EventSource | undefined;
    let retry: ReturnType<typeof setTimeout> | undefined;
    let wait = FIRST_RETRY_MS;
    let heard = Date.now();
    let left = false;

    const open = () => {
      heard = Date.now();
      source = new EventSource(STREAM_API);
      source.onerror = () => void lost();
      for (const type of EVENTS) {
        source.addEventListener(type, (event: MessageEvent<string>) => {
          heard = Date.now();
          wait = FIRST_RETRY_MS;
          dispatch({ type, data: JSON.parse(event.data) });
        });
      }
    };

    const lost = async () => {
      // Once for each loss: silence and an error may be noticed both.
      if (source === undefined) return;
      source.close();
      source = undefined;
      dispatch({ type: 'lost' });
      if (await sessionIsOver()) return dispatch({ type: 'ended' });
      if (left) return;
      // Spread, so that the pages of a restarted server do not all come back in one moment.
      retry = setTimeout(open, wait * (0.75 + Math.random() / 2));
      wait = Math.min(wait * 2, LAST_RETRY_MS);
    };

    const watch = setInterval(() => {
      if (Date.now() - heard > SILENCE_MS) void lost();
    }, 1000);
    open();
    return () => {
      left = true;
      clearInterval(watch);
      clearTimeout(retry);
      source?.close();
      source = undefined;
    };
  }, []);

  return state;
}

/** Only a clear answer ends the session; a server that is away says nothing about it. */
async function sessionIsOver(): Promise<boolean> {
  try {
    const { status } = await fetch(SESSION_API, { cache: 'no-store' });
    return status === 401 || status === 403;
  } catch {
    return false;
  }
}
