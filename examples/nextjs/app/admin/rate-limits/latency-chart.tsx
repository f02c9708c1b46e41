import { CartesianGrid, Line, LineChart, ResponsiveContainer, Tooltip, XAxis, YAxis } from 'recharts';
import type { ProcessInfo, Sample } from '@/lib/admin/dashboard-data';
import { ChartFrame } from './chart-frame';
import { ChartTooltip } from './chart-tooltip';
import { minuteTime, ms } from './format';
import { groupByMinute, maximumOf } from './aggregation';
import { timeAxis } from './time-axis';

const QUANTILES = [
  { key: 'p50', color: 'var(--latency-p50)', dash: undefined },
  { key: 'p95', color: 'var(--latency-p95)', dash: '6 3' },
  { key: 'p99', color: 'var(--latency-p99)', dash: '2 3' },
] as const;

export function LatencyChart({ samples, store }: { samples: readonly Sample[]; store: ProcessInfo['store'] }) {
  if (store === 'embedded') return <NoLatency />;
  return (
    <ChartFrame
      id="latency"
      title="Redis latency, ms"
      summary={summaryOf(samples)}
      legend={QUANTILES.map(({ key, color, dash }) => ({ name: key, color, dashed: dash !== undefined }))}
      columns={['Minute', 'Worst p50', 'Worst p95', 'Worst p99']}
      rows={groupByMinute(samples).map(({ minute, samples: minuteSamples }) => [
        minuteTime(minute),
        ...QUANTILES.map(({ key }) => ms(maximumOf(minuteSamples, (sample) => sample[key]))),
      ])}
    >
      <ResponsiveContainer width="100%" height="100%" initialDimension={{ width: 320, height: 200 }}>
        <LineChart
          data={samples as Sample[]}
          accessibilityLayer={false}
          margin={{ top: 6, right: 8, bottom: 0, left: 0 }}
        >
          <CartesianGrid vertical={false} stroke="var(--border)" />
          <XAxis {...timeAxis(samples)} />
          <YAxis width={44} tickLine={false} axisLine={false} tick={{ fontSize: 11, fill: 'var(--muted)' }} />
          <Tooltip content={(props) => <ChartTooltip {...props} format={ms} />} isAnimationActive={false} />
          {QUANTILES.map(({ key, color, dash }) => (
            // A second without requests is a gap, not a zero.
            <Line key={key} dataKey={key} stroke={color} strokeDasharray={dash} dot={false} isAnimationActive={false} />
          ))}
        </LineChart>
      </ResponsiveContainer>
    </ChartFrame>
  );
}

function NoLatency() {
  return (
    <section className="panel chart latency" aria-labelledby="latency-title">
      <div className="panel-head">
        <h2 id="latency-title">Redis latency</h2>
      </div>
      <p className="empty">
        Embedded store: this process counts in its own memory and asks no Redis, so there is no way to measure. Quotas
        hold for this process alone.
      </p>
    </section>
  );
}

function summaryOf(samples: readonly Sample[]): string {
  const last = samples.findLast(({ p50 }) => p50 !== null);
  if (last === undefined) return 'Redis has not been asked in the last 15 minutes.';
  const worst = maximumOf(samples, ({ p99 }) => p99);
  return `Latest: p50 ${ms(last.p50)}, p95 ${ms(last.p95)}, p99 ${ms(last.p99)}. Worst p99 of the last 15 minutes: ${ms(worst)}.`;
}
