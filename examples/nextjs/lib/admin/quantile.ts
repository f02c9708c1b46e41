import type { Histogram } from '@huntaze/rate-limit';

/** What fell into each bucket since `before`. A histogram that shrank is one that started anew. */
export function countsSince(before: Histogram | undefined, now: Histogram): number[] {
  return now.counts.map((count, i) => {
    const earlier = before?.counts[i] ?? 0;
    return count >= earlier ? count - earlier : count;
  });
}

/**
 * The value below which the share `q` (0 to 1) of the observations lies, taken as evenly spread inside a bucket, as
 * Prometheus's histogram_quantile does. The last bucket has no end: it answers with its lower bound, which is never too high.
 */
export function quantile(bounds: readonly number[], counts: readonly number[], q: number): number | null {
  const count = counts.reduce((sum, n) => sum + n, 0);
  if (count === 0) return null;
  const rank = q * count;
  let below = 0;
  for (const [i, inside] of counts.entries()) {
    if (inside > 0 && below + inside >= rank) {
      const lower = bounds[i - 1] ?? 0;
      const upper = bounds[i] ?? Infinity;
      return Number.isFinite(upper) ? lower + (upper - lower) * ((rank - below) / inside) : lower;
    }
    below += inside;
  }
  return null;
}
