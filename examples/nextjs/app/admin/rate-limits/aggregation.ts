/** Groups the samples by whole minute, newest minute first, for the table of a chart. */
export function groupByMinute<T extends { readonly t: number }>(
  samples: readonly T[],
): { minute: number; samples: T[] }[] {
  const minutes = new Map<number, T[]>();
  for (const sample of samples) {
    const minute = Math.floor(sample.t / 60_000) * 60_000;
    const group = minutes.get(minute);
    if (group) group.push(sample);
    else minutes.set(minute, [sample]);
  }
  return [...minutes].map(([minute, group]) => ({ minute, samples: group })).reverse();
}

export function meanOf<T>(samples: readonly T[], of: (sample: T) => number): number {
  return samples.length === 0 ? 0 : samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length;
}

/** The largest value of the samples that have one; null if none has. */
export function maximumOf<T>(samples: readonly T[], of: (sample: T) => number | null): number | null {
  return samples.reduce<number | null>((peak, sample) => {
    const value = of(sample);
    return value === null || (peak !== null && peak >= value) ? peak : value;
  }, null);
}
