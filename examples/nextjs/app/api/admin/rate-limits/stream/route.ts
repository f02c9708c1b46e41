import { NO_STORE } from '@/lib/admin/json-responses';
import { eventStream } from '@/lib/admin/event-stream';
import { operatorRoute } from '@/lib/admin/operator-route';
import { startSampler } from '@/lib/admin/metrics-sampler';

/** Without this handler Next.js would answer HEAD by GET, and open a stream that no client reads. */
export const HEAD = operatorRoute(() => new Response(null, { headers: NO_STORE }));

export const GET = operatorRoute((request, { until }) => {
  // With instrumentation.ts the sampler has been running since the start of the process.
  startSampler();
  return eventStream(request.signal, until);
});
