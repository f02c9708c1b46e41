import { eventStream } from '@/lib/admin/event-stream';
import { operatorRoute } from '@/lib/admin/operator-route';
import { startSampler } from '@/lib/admin/sampler';

export const GET = operatorRoute((request, { until }) => {
  // Running since the start of the process, where instrumentation.ts is in use.
  startSampler();
  return eventStream(request.signal, until);
});
