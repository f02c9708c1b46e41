'use client';

import { useCallback, useEffect, useReducer, useRef } from 'react';
import { STREAM_API } from './api-paths';
import { type LiveState, liveState } from './live-state';
import { sessionIsOver } from './session-requests';
import { onSignOut } from './sign-out';
import { whileSeen } from './page-visibility';

/** Five seconds without a figure: the connection is lost, whatever the browser reports. */
const SILENCE_MS = 5000;
const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 10_000;
const EVENTS = ['history', 'second', 'anomaly', 'store', 'standing'] as const;

/**
 * The live figures of the stream. EventSource stops for good when it gets an error response, as from a proxy whose
 * server restarts, and it cannot report the reason; so it is created anew here. `end` is called when the session is
 * over.
 */
export function useLiveFigures(): LiveState & { end: () => void } {
  const [state, dispatch] = useReducer(liveState, { link: 'connecting' });
  const ending = useRef<() => void>(undefined);

  useEffect(() => {
    let source: EventSource | undefined;
    let retry: ReturnType<typeof setTimeout> | undefined;
    let wait = FIRST_RETRY_MS;
    let heard = Date.now();
    let over = false;

    const close = () => {
      clearTimeout(retry);
      source?.close();
      source = undefined;
    };

    const open = () => {
      close();
      if (over) return;
      heard = Date.now();
      source = new EventSource(STREAM_API);
      source.onerror = lost;
      for (const type of EVENTS) {
        source.addEventListener(type, (event: MessageEvent<string>) => {
          heard = Date.now();
          wait = FIRST_RETRY_MS;
          dispatch({ type, data: JSON.parse(event.data) });
        });
      }
    };

    const lost = () => {
      // Once for each loss: both silence and an error may be detected.
      if (source === undefined) return;
      close();
      dispatch({ type: 'lost' });
      // Jittered, so that the pages of a restarted server do not all reconnect at one moment.
      retry = setTimeout(open, wait * (0.75 + Math.random() / 2));
      wait = Math.min(wait * 2, LAST_RETRY_MS);
      // In parallel with the retry, without waiting for the response: a network that drops the stream drops this
      // request, too.
      void sessionIsOver().then((is) => is && end());
    };

    const end = () => {
      if (over) return;
      over = true;
      close();
      dispatch({ type: 'ended' });
    };
    ending.current = end;

    const watch = setInterval(() => {
      if (Date.now() - heard > SILENCE_MS) lost();
    }, 1000);
    const unwatchSeen = whileSeen({
      hidden() {
        if (over) return;
        close();
        dispatch({ type: 'parked' });
      },
      seen: open,
    });
    const unwatchSignOut = onSignOut(end);
    open();
    return () => {
      over = true;
      clearInterval(watch);
      unwatchSeen();
      unwatchSignOut();
      close();
    };
  }, []);

  return { ...state, end: useCallback(() => ending.current?.(), []) };
}
