import { onAnomaly } from '@huntaze/rate-limit';
import type { SeenAnomaly } from './dashboard-data';
import { observation, tellAll } from './process-state';

/** As many as an operator scrolls through; older ones are in the log. */
const KEPT = 100;

export function listenForAnomalies(): void {
  onAnomaly((anomaly) => {
    // A listener disables the package's own log line, so it is written here. The id is untrusted text: encoded, it can
    // neither forge a line nor control a terminal.
    console.warn('[AI Rate Limit] Anomaly detected', {
      ...anomaly,
      creatorId: encodeURIComponent(anomaly.creatorId),
    });
    const seen: SeenAnomaly = { ...anomaly, number: ++observation.anomalyCount };
    observation.anomalies.unshift(seen);
    observation.anomalies.splice(KEPT);
    tellAll('anomaly', seen);
  });
}
