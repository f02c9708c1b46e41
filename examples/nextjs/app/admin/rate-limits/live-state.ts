// The state of the page, and its reducer for the events of the stream. Pure.

import { HISTORY_SECONDS, type StreamEvents } from '@/lib/admin/dashboard-data';

/** `ended`: the session is over, and only signing in again helps. */
export type Link = 'connecting' | 'live' | 'reconnecting' | 'ended';

export type Figures = StreamEvents['history'];

export interface LiveState {
  readonly link: Link;
  readonly figures?: Figures;
}

export type LiveAction =
  | { [E in keyof StreamEvents]: { type: E; data: StreamEvents[E] } }[keyof StreamEvents]
  | { type: 'lost' }
  /** Closed by the page itself, while it is hidden. */
  | { type: 'parked' }
  | { type: 'ended' };

/** As many anomalies, and changes of the store, as the server keeps. */
const KEPT = 100;

export function liveState(state: LiveState, action: LiveAction): LiveState {
  // The server starts every stream with the whole history: after a restart, or from another process, no old data
  // remains.
  if (action.type === 'history') return { link: 'live', figures: action.data };
  if (action.type === 'lost') return { ...state, link: 'reconnecting' };
  if (action.type === 'parked') return { ...state, link: 'connecting' };
  if (action.type === 'ended') return { link: 'ended' };
  const { figures } = state;
  if (figures === undefined) return state;
  switch (action.type) {
    case 'second': {
      const { facts, sample, totals } = action.data;
      return { link: 'live', figures: { ...figures, facts, totals, samples: kept(figures.samples, sample) } };
    }
    case 'anomaly':
      return { ...state, figures: { ...figures, anomalies: [action.data, ...figures.anomalies].slice(0, KEPT) } };
    case 'store':
      return { ...state, figures: { ...figures, changes: [action.data, ...figures.changes].slice(0, KEPT) } };
    case 'standing':
      return { ...state, figures: { ...figures, standing: action.data } };
  }
}

function kept<T>(samples: readonly T[], sample: T): readonly T[] {
  return [...samples.slice(-(HISTORY_SECONDS - 1)), sample];
}
