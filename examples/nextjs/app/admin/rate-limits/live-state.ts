// The state of the page, and the pure reducer that applies the events of the stream to it.

import { HISTORY_SECONDS, type StreamEvents } from '@/lib/admin/dashboard-data';

/** `ended`: the session is over, and only signing in again helps. */
export type ConnectionState = 'connecting' | 'live' | 'reconnecting' | 'ended';

export type DashboardData = StreamEvents['history'];

export interface LiveState {
  readonly connection: ConnectionState;
  readonly data?: DashboardData;
}

export type LiveAction =
  | { [E in keyof StreamEvents]: { type: E; data: StreamEvents[E] } }[keyof StreamEvents]
  | { type: 'disconnected' }
  /** Closed by the page itself, while it is hidden. */
  | { type: 'paused' }
  | { type: 'ended' };

/** The number of anomalies, and of store changes, that the page keeps: the same as on the server. */
const MAX_ENTRIES = 100;

export function liveStateReducer(state: LiveState, action: LiveAction): LiveState {
  // The server starts every stream with the whole history: after a restart, or from another process, no old data
  // remains.
  if (action.type === 'history') return { connection: 'live', data: action.data };
  if (action.type === 'disconnected') return { ...state, connection: 'reconnecting' };
  if (action.type === 'paused') return { ...state, connection: 'connecting' };
  if (action.type === 'ended') return { connection: 'ended' };
  const { data } = state;
  if (data === undefined) return state;
  switch (action.type) {
    case 'sample': {
      const { processInfo, sample, totals } = action.data;
      return {
        connection: 'live',
        data: { ...data, processInfo, totals, samples: appendSample(data.samples, sample) },
      };
    }
    case 'anomaly':
      return { ...state, data: { ...data, anomalies: [action.data, ...data.anomalies].slice(0, MAX_ENTRIES) } };
    case 'store-state':
      return { ...state, data: { ...data, storeChanges: [action.data, ...data.storeChanges].slice(0, MAX_ENTRIES) } };
    case 'top-creators':
      return { ...state, data: { ...data, topCreators: action.data } };
  }
}

function appendSample<T>(samples: readonly T[], sample: T): readonly T[] {
  return [...samples.slice(-(HISTORY_SECONDS - 1)), sample];
}
