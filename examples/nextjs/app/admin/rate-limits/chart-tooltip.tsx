import type { TooltipContentProps } from 'recharts';
import { clockTime } from './format';

interface ChartTooltipProps extends Pick<TooltipContentProps, 'active' | 'payload' | 'label'> {
  format: (value: number) => string;
}

/** The figures of the second under the pointer. */
export function ChartTooltip({ active, payload, label, format }: ChartTooltipProps) {
  if (!active || payload.length === 0) return null;
  return (
    <div className="tooltip">
      <b>{clockTime(Number(label))}</b>
      {payload.map(({ name, value, color }) => (
        <div key={String(name)}>
          <i style={{ background: color }} />
          {name} <b>{format(Number(value))}</b>
        </div>
      ))}
    </div>
  );
}
