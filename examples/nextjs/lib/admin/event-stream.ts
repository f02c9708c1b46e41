// Server-Sent Events, after the HTML standard, section 9.2.

import { processState, type StreamClient } from './process-state';
import { processInfoOf, latestReading } from './metrics-sampler';
import { totalsOf } from './metrics-sample';
import type { StreamEvents } from './dashboard-data';

/** Proxies close connections that are silent for 30 to 60 s; the samples alone may not prevent that. */
const KEEP_ALIVE_MS = 15_000;
/**
 * The number of unread events, about a minute of them, at which a stream is closed. The page reconnects and starts with
 * the history.
 */
const MAX_UNREAD_EVENTS = 128;

/**
 * The stream of one page. It ends when the page closes it or reads too slowly, when the session expires, and when the
 * process ends.
 */
export function eventStream(signal: AbortSignal, until: number): Response {
  const encoder = new TextEncoder();
  let end = () => {};
  const body = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        const send = (text: string) => {
          controller.enqueue(encoder.encode(text));
          if ((controller.desiredSize ?? 0) <= 0) end();
        };
        const client: StreamClient = {
          send: (event, data) => send(`event: ${event}\ndata: ${data}\n\n`),
          end: () => end(),
        };
        const keepAlive = setInterval(() => send(': keep-alive\n\n'), KEEP_ALIVE_MS).unref();
        const sessionEnd = setTimeout(() => end(), Math.min(until - Date.now(), 2 ** 31 - 1)).unref();
        end = () => {
          // This may be called twice, because a cancelled reader also aborts the request.
          if (!processState.clients.delete(client)) return;
          clearInterval(keepAlive);
          clearTimeout(sessionEnd);
          signal.removeEventListener('abort', end);
          try {
            controller.close();
          } catch {
            // The client has already closed the stream.
          }
        };
        processState.clients.add(client);
        if (signal.aborted) return end();
        signal.addEventListener('abort', end);
        client.send('history', JSON.stringify(history()));
      },
      cancel: () => end(),
    },
    { highWaterMark: MAX_UNREAD_EVENTS },
  );
  return new Response(body, {
    headers: {
      'Content-Type': 'text/event-stream; charset=utf-8',
      // no-transform disables compression, which would delay events; the second header disables buffering in nginx.
      'Cache-Control': 'no-store, no-transform',
      'X-Accel-Buffering': 'no',
    },
  });
}

function history(): StreamEvents['history'] {
  const reading = latestReading();
  return {
    processInfo: processInfoOf(reading),
    samples: processState.samples,
    totals: totalsOf(reading.metrics),
    anomalies: processState.anomalies,
    storeChanges: processState.storeChanges,
    topCreators: processState.topCreators ?? null,
  };
}
