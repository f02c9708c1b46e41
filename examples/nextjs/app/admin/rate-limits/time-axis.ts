import { HISTORY_SECONDS } from '@/lib/admin/dashboard-data';
import { minuteTime } from './format';

const MINUTE = 60_000;
/** The minimum span of the axis: the samples of a process that has just started span next to no time. */
const SHORTEST = 2 * MINUTE;

/** From the oldest sample to the newest, 15 minutes at most, with ticks at whole minutes; the same for every chart. */
export function timeAxis(samples: readonly { t: number }[]) {
  const end = samples.at(-1)?.t ?? 0;
  const span = Math.min(Math.max(end - (samples[0]?.t ?? end), SHORTEST), HISTORY_SECONDS * 1000);
  const start = end - span;
  const step = span > 6 * MINUTE ? 3 * MINUTE : MINUTE;
  const ticks: number[] = [];
  for (let t = Math.ceil(start / step) * step; t <= end; t += step) ticks.push(t);
  return {
    dataKey: 't',
    type: 'number',
    domain: [start, end],
    ticks,
    tickFormatter: minuteTime,
    allowDataOverflow: true,
    tickLine: false,
    tick: { fontSize: 11, fill: 'var(--muted)' },
    stroke: 'var(--border)',
  } as const;
}
