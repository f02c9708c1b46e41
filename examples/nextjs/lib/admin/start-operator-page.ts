import { closeAllStreams } from './process-state';
import { startSampler } from './metrics-sampler';

/** Starts the operator page's data collection with the process. */
export function startOperatorPage(): void {
  startSampler();
  // Next.js waits for the requests in flight before it ends, and an open stream is one. With NEXT_MANUAL_SIG_HANDLE the
  // application ends the process itself, and a listener here would keep Node.js from doing it.
  if (process.env.NEXT_MANUAL_SIG_HANDLE) return;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, closeAllStreams);
}
