import { NO_STORE } from '@/lib/admin/answers';
import { eventStream } from '@/lib/admin/event-stream';
import { operatorRoute } from '@/lib/admin/operator-route';
import { startSampler } from '@/lib/admin/sampler';

/** Next.js would answer it by GET, with a stream that nobody reads. */
export const HEAD = operatorRoute(() => new Response(null, { headers: NO_STORE }));

export const GET = operatorRoute((request, { until }) => {
  // Running since the start of the process, where instrumentation.ts is in use.
  startSampler();
  return eventStream(request.signal, until);
});
