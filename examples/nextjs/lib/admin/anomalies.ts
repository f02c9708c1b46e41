import { onAnomaly } from '@huntaze/rate-limit';
import type { SeenAnomaly } from './figures';
import { observation, tellAll } from './observation';

/** As many as an operator scrolls through; older ones are in the log. */
const KEPT = 100;

export function listenForAnomalies(): void {
  onAnomaly((anomaly) => {
    // Whoever listens silences the package's own line, so it is written here. The id is a stranger's text: encoded, it can
    // neither forge a line nor steer a terminal.
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
