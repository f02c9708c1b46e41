import { HISTORY_SECONDS } from '@/lib/admin/figures';
import { minuteTime } from './format';

const STEP = 3 * 60_000;

/** The last 15 minutes up to the newest sample, with a tick at each third whole minute; the same for every chart. */
export function timeAxis(samples: readonly { t: number }[]) {
  const end = samples.at(-1)?.t ?? 0;
  const start = end - HISTORY_SECONDS * 1000;
  const ticks: number[] = [];
  for (let t = Math.ceil(start / STEP) * STEP; t <= end; t += STEP) ticks.push(t);
  return {
    dataKey: 't',
    type: 'number',
    domain: [start, end],
    ticks,
    tickFormatter: minuteTime,
    allowDataOverflow: true,
    tickLine: false,
    tick: { fontSize: 11, fill: 'var(--quiet)' },
    stroke: 'var(--line)',
  } as const;
}
