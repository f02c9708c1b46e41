import { NO_STORE } from '@/lib/admin/json-responses';
import { eventStream } from '@/lib/admin/event-stream';
import { operatorRoute } from '@/lib/admin/operator-route';
import { startSampler } from '@/lib/admin/metrics-sampler';

/** Next.js would answer it by GET, with a stream without a reader. */
export const HEAD = operatorRoute(() => new Response(null, { headers: NO_STORE }));

export const GET = operatorRoute((request, { until }) => {
  // Already running since the start of the process if instrumentation.ts is used.
  startSampler();
  return eventStream(request.signal, until);
});
