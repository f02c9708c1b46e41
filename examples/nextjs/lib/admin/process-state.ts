// The observations of this process, and its open streams. On globalThis: Next.js bundles instrumentation and every
// route separately, and a module variable would exist once in each bundle.

import type { Sample, SeenAnomaly, SeenChange, Standing, StreamEvents } from './dashboard-data';
import type { Reading } from './metrics-sample';

/** A stream that receives events; `data` is JSON already, so that many streams cost one encoding. */
export interface Watcher {
  send(event: string, data: string): void;
  end(): void;
}

export interface Observation {
  readonly since: number;
  readonly samples: Sample[];
  readonly anomalies: SeenAnomaly[];
  readonly changes: SeenChange[];
  readonly watchers: Set<Watcher>;
  anomalyCount: number;
  changeCount: number;
  reading?: Reading;
  standing?: Standing;
  askingStanding: boolean;
  /** The process is about to end. */
  ending: boolean;
  timer?: NodeJS.Timeout;
}

const KEY = Symbol.for('huntaze.admin.observation');
const globals = globalThis as { [KEY]?: Observation };

export const observation: Observation = (globals[KEY] ??= {
  since: Date.now(),
  samples: [],
  anomalies: [],
  changes: [],
  watchers: new Set(),
  anomalyCount: 0,
  changeCount: 0,
  askingStanding: false,
  ending: false,
});

export function tellAll<E extends keyof StreamEvents>(event: E, data: StreamEvents[E]): void {
  if (observation.watchers.size === 0) return;
  const json = JSON.stringify(data);
  for (const watcher of [...observation.watchers]) watcher.send(event, json);
}

/** Before the end of the process: an open stream is a request in flight, and the server waits for those. */
export function endAllStreams(): void {
  observation.ending = true;
  for (const watcher of [...observation.watchers]) watcher.end();
}
