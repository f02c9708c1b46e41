// The history: 15 minutes with a sample a second, on the server and on the page, however long either runs.

import { type LiveState, liveStateReducer } from '@/app/admin/rate-limits/live-state';
import type { Sample, AnomalyEntry, StoreStateEntry, StreamEvents } from '@/lib/admin/dashboard-data';
import { processState } from '@/lib/admin/process-state';
import { startSampler } from '@/lib/admin/metrics-sampler';

/** The span that the charts' descriptions name. */
const MINUTES = 15;
const SECONDS = MINUTES * 60;

test('the server reads once a second and keeps the newest 15 minutes', () => {
  jest.useFakeTimers();
  try {
    // A stream starts the sampler, too: that must not make two readings a second.
    startSampler();
    startSampler();
    jest.advanceTimersByTime(2000);
    expect(processState.samples).toHaveLength(2);
    jest.advanceTimersByTime((SECONDS + 100) * 1000);
    const times = processState.samples.map(({ t }) => t);
    const newest = Date.now();
    expect(times).toEqual(Array.from({ length: SECONDS }, (_, i) => newest - (SECONDS - 1 - i) * 1000));
  } finally {
    jest.useRealTimers();
  }
});

describe('the page', () => {
  const sampleAt = (second: number) => ({ t: second * 1000 }) as Sample;
  const anomaly = (number: number) => ({ number }) as AnomalyEntry;
  const change = (number: number) => ({ number }) as StoreStateEntry;
  const stateWith = (data: Partial<StreamEvents['history']>) =>
    ({ connection: 'live', data: { samples: [], anomalies: [], storeChanges: [], ...data } }) as unknown as LiveState;

  test('keeps the newest 15 minutes, the oldest first', () => {
    let state = stateWith({ samples: Array.from({ length: SECONDS - 1 }, (_, i) => sampleAt(i)) });
    for (let second = SECONDS - 1; second < SECONDS + 5; second++) {
      const data = { sample: sampleAt(second) } as StreamEvents['sample'];
      state = liveStateReducer(state, { type: 'sample', data });
    }
    expect(state.data!.samples).toEqual(Array.from({ length: SECONDS }, (_, i) => sampleAt(i + 5)));
  });

  test('keeps the newest 100 anomalies, the newest first', () => {
    let state = stateWith({});
    for (let number = 1; number <= 103; number++)
      state = liveStateReducer(state, { type: 'anomaly', data: anomaly(number) });
    expect(state.data!.anomalies).toEqual(Array.from({ length: 100 }, (_, i) => anomaly(103 - i)));
  });

  test('keeps the newest 100 changes of the store, the newest first', () => {
    let state = stateWith({});
    for (let number = 1; number <= 103; number++)
      state = liveStateReducer(state, { type: 'store-state', data: change(number) });
    expect(state.data!.storeChanges).toEqual(Array.from({ length: 100 }, (_, i) => change(103 - i)));
  });
});
