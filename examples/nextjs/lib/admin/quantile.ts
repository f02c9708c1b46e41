import type { Histogram } from '@huntaze/rate-limit';

/** The new observations in each bucket since `before`. A histogram that shrank has been restarted. */
export function countsSince(before: Histogram | undefined, now: Histogram): number[] {
  return now.counts.map((count, i) => {
    const earlier = before?.counts[i] ?? 0;
    return count >= earlier ? count - earlier : count;
  });
}

/**
 * The value below which the share `q` (0 to 1) of the observations lies, assumed to be spread evenly inside a bucket,
 * as Prometheus's histogram_quantile does. The last bucket has no upper bound: the result is its lower bound, which is
 * never too high.
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
