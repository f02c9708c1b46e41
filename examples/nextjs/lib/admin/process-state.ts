// The state of this process that the operator page shows, and its open streams. It is on globalThis, because Next.js
// bundles instrumentation and every route separately, and a module variable would exist once in each bundle.

import type { Sample, AnomalyEntry, StoreStateEntry, TopCreatorsSnapshot, StreamEvents } from './dashboard-data';
import type { MetricsReading } from './metrics-sample';

/** A stream that receives events; `data` is JSON already, so that many streams cost one encoding. */
export interface StreamClient {
  send(event: string, data: string): void;
  end(): void;
}

export interface ProcessState {
  readonly since: number;
  readonly samples: Sample[];
  readonly anomalies: AnomalyEntry[];
  readonly storeChanges: StoreStateEntry[];
  readonly clients: Set<StreamClient>;
  anomalyCount: number;
  storeChangeCount: number;
  reading?: MetricsReading;
  topCreators?: TopCreatorsSnapshot;
  queryingTopCreators: boolean;
  /** The process is about to end. */
  shuttingDown: boolean;
  timer?: NodeJS.Timeout;
}

const KEY = Symbol.for('huntaze.admin.process-state');
const globals = globalThis as { [KEY]?: ProcessState };

export const processState: ProcessState = (globals[KEY] ??= {
  since: Date.now(),
  samples: [],
  anomalies: [],
  storeChanges: [],
  clients: new Set(),
  anomalyCount: 0,
  storeChangeCount: 0,
  queryingTopCreators: false,
  shuttingDown: false,
});

export function broadcast<E extends keyof StreamEvents>(event: E, data: StreamEvents[E]): void {
  if (processState.clients.size === 0) return;
  const json = JSON.stringify(data);
  for (const client of [...processState.clients]) client.send(event, json);
}

/** Called before the process ends: an open stream is a request in flight, and the server waits for those. */
export function closeAllStreams(): void {
  processState.shuttingDown = true;
  for (const client of [...processState.clients]) client.end();
}
