import { Area, CartesianGrid, ComposedChart, Line, ResponsiveContainer, Tooltip, XAxis, YAxis } from 'recharts';
import type { Sample } from '@/lib/admin/dashboard-data';
import { ChartFrame } from './chart-frame';
import { ChartTooltip } from './chart-tooltip';
import { clockTime, minuteTime, rate } from './format';
import { groupByMinute, meanOf } from './aggregation';
import { timeAxis } from './time-axis';

const LEGEND = [
  { name: 'Allowed', color: 'var(--allowed)' },
  { name: 'Denied', color: 'var(--denied)' },
  { name: 'Degraded', color: 'var(--degraded)', dashed: true },
];

const perSecond = (n: number) => `${rate(n)}/s`;

/** Allowed and denied are stacked, so that they add up to all requests. Degraded requests are among both. */
export function TrafficChart({ samples }: { samples: readonly Sample[] }) {
  return (
    <ChartFrame
      id="traffic"
      title="Traffic, requests per second"
      summary={summaryOf(samples)}
      legend={LEGEND}
      columns={['Minute', 'Allowed/s', 'Denied/s', 'Degraded/s', 'Failed/s']}
      rows={groupByMinute(samples).map(({ minute, samples: minuteSamples }) => [
        minuteTime(minute),
        ...(['allowed', 'denied', 'degraded', 'failed'] as const).map((key) =>
          rate(meanOf(minuteSamples, (sample) => sample[key])),
        ),
      ])}
    >
      <ResponsiveContainer width="100%" height="100%" initialDimension={{ width: 320, height: 200 }}>
        <ComposedChart
          data={samples as Sample[]}
          accessibilityLayer={false}
          margin={{ top: 6, right: 8, bottom: 0, left: 0 }}
        >
          <CartesianGrid vertical={false} stroke="var(--border)" />
          <XAxis {...timeAxis(samples)} />
          <YAxis
            width={44}
            tickLine={false}
            axisLine={false}
            allowDecimals={false}
            tick={{ fontSize: 11, fill: 'var(--muted)' }}
          />
          <Tooltip content={(props) => <ChartTooltip {...props} format={perSecond} />} isAnimationActive={false} />
          <Area
            name="Allowed"
            dataKey="allowed"
            stackId="requests"
            stroke="var(--allowed)"
            fill="var(--allowed)"
            {...STYLE}
          />
          <Area
            name="Denied"
            dataKey="denied"
            stackId="requests"
            stroke="var(--denied)"
            fill="var(--denied)"
            {...STYLE}
          />
          <Line
            name="Degraded"
            dataKey="degraded"
            stroke="var(--degraded)"
            strokeDasharray="4 3"
            dot={false}
            isAnimationActive={false}
          />
        </ComposedChart>
      </ResponsiveContainer>
    </ChartFrame>
  );
}

// No animation: with new data each second, a chart would never stand still.
const STYLE = { fillOpacity: 0.22, strokeWidth: 1.5, isAnimationActive: false, activeDot: { r: 3 } };

function summaryOf(samples: readonly Sample[]): string {
  const last = samples.at(-1);
  if (last === undefined) return 'No second has been measured yet.';
  const peak = samples.reduce((most, sample) => (sample.denied > most.denied ? sample : most));
  const now = `Allowed ${perSecond(last.allowed)}, denied ${perSecond(last.denied)}, degraded ${perSecond(last.degraded)} now.`;
  const most = peak.denied > 0 ? ` Most denials: ${perSecond(peak.denied)} at ${clockTime(peak.t)}.` : ' No denials.';
  return `${now}${most} The last 15 minutes.`;
}
