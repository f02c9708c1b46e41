import { onAnomaly } from '@huntaze/rate-limit';
import type { AnomalyEntry } from './dashboard-data';
import { processState, broadcast } from './process-state';

/** The number of anomalies kept for the page: an operator does not scroll further, and older ones are in the log. */
const MAX_ENTRIES = 100;

export function listenForAnomalies(): void {
  onAnomaly((anomaly) => {
    // A listener disables the package's own log line, so it is written here. The id is untrusted text: encoded, it can
    // neither forge a line nor control a terminal.
    console.warn('[AI Rate Limit] Anomaly detected', {
      ...anomaly,
      creatorId: encodeURIComponent(anomaly.creatorId),
    });
    const entry: AnomalyEntry = { ...anomaly, number: ++processState.anomalyCount };
    processState.anomalies.unshift(entry);
    processState.anomalies.splice(MAX_ENTRIES);
    broadcast('anomaly', entry);
  });
}
