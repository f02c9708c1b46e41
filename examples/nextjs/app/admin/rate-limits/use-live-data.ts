'use client';

import { useCallback, useEffect, useReducer, useRef } from 'react';
import { STREAM_PATH } from './api-paths';
import { type LiveState, liveStateReducer } from './live-state';
import { isSessionOver } from './session-requests';
import { onSignOut } from './sign-out';
import { onVisibilityChange } from './page-visibility';

/** After this time without an event the connection counts as lost, even if the browser reports no error. */
const SILENCE_TIMEOUT_MS = 5000;
const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 10_000;
const EVENTS = ['history', 'sample', 'anomaly', 'store-state', 'top-creators'] as const;

/**
 * The live data of the page. EventSource stops for good when it gets an error response, as from a proxy whose
 * server restarts, and it cannot report the reason; so it is created anew here. `end` is called when the session is
 * over.
 */
export function useLiveData(): LiveState & { end: () => void } {
  const [state, dispatch] = useReducer(liveStateReducer, { connection: 'connecting' });
  const endStream = useRef<() => void>(undefined);

  useEffect(() => {
    let source: EventSource | undefined;
    let retry: ReturnType<typeof setTimeout> | undefined;
    let retryDelay = FIRST_RETRY_MS;
    let lastEventAt = Date.now();
    let ended = false;

    const close = () => {
      clearTimeout(retry);
      source?.close();
      source = undefined;
    };

    const open = () => {
      close();
      if (ended) return;
      lastEventAt = Date.now();
      source = new EventSource(STREAM_PATH);
      source.onerror = disconnect;
      for (const type of EVENTS) {
        source.addEventListener(type, (event: MessageEvent<string>) => {
          lastEventAt = Date.now();
          retryDelay = FIRST_RETRY_MS;
          dispatch({ type, data: JSON.parse(event.data) });
        });
      }
    };

    const disconnect = () => {
      // One loss may be detected twice: by an error, and by the timeout.
      if (source === undefined) return;
      close();
      dispatch({ type: 'disconnected' });
      // Jittered, so that the pages of a restarted server do not all reconnect at one moment.
      retry = setTimeout(open, retryDelay * (0.75 + Math.random() / 2));
      retryDelay = Math.min(retryDelay * 2, LAST_RETRY_MS);
      // In parallel with the retry, without waiting for the response: a network that drops the stream drops this
      // request, too.
      void isSessionOver().then((over) => over && end());
    };

    const end = () => {
      if (ended) return;
      ended = true;
      close();
      dispatch({ type: 'ended' });
    };
    endStream.current = end;

    const silenceCheck = setInterval(() => {
      if (Date.now() - lastEventAt > SILENCE_TIMEOUT_MS) disconnect();
    }, 1000);
    const removeVisibilityListener = onVisibilityChange({
      hidden() {
        if (ended) return;
        close();
        dispatch({ type: 'paused' });
      },
      visible: open,
    });
    const removeSignOutListener = onSignOut(end);
    open();
    return () => {
      ended = true;
      clearInterval(silenceCheck);
      removeVisibilityListener();
      removeSignOutListener();
      close();
    };
  }, []);

  return { ...state, end: useCallback(() => endStream.current?.(), []) };
}
