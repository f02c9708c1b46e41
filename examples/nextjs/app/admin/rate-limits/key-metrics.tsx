import type { ReactNode } from 'react';
import type { Sample } from '@/lib/admin/dashboard-data';
import { count, rate } from './format';
import type { DashboardData } from './live-state';

/** The rate of one second changes too much to be read; a mean of ten seconds is readable. */
const MEAN_SECONDS = 10;

export function KeyMetrics({ data: { samples, totals } }: { data: DashboardData }) {
  const recent = samples.slice(-MEAN_SECONDS);
  const mean = (of: (sample: Sample) => number) =>
    recent.length === 0 ? 0 : recent.reduce((sum, sample) => sum + of(sample), 0) / recent.length;
  const hitShare = totals.denials === 0 ? 0 : totals.cacheHits / totals.denials;
  const errors = Object.values(totals.storeErrors).reduce((sum, n) => sum + n, 0);
  const { breaker, connections } = totals;
  return (
    <section className="tiles" aria-labelledby="tiles-title">
      <h2 id="tiles-title" className="visually-hidden">
        At a glance
      </h2>
      <dl>
        <Tile
          name="Allowed"
          id="allowed"
          tone="allowed"
          note={`${count(totals.checks - totals.denials - totals.failed)} in all`}
        >
          {rate(mean(({ allowed }) => allowed))} <small>/s</small>
        </Tile>
        <Tile name="Denied" id="denied" tone="denied" note={`${count(totals.denials)} in all`}>
          {rate(mean(({ denied }) => denied))} <small>/s</small>
        </Tile>
        <Tile name="Degraded" id="degraded" tone="degraded" note={`${count(totals.degraded)} without the store`}>
          {rate(mean(({ degraded }) => degraded))} <small>/s</small>
        </Tile>
        <Tile name="Denied-cache hits" id="cache-hits" note={`${Math.round(hitShare * 100)}% of all denials`}>
          {rate(mean(({ cacheHits }) => cacheHits))} <small>/s</small>
        </Tile>
        <Tile name="In flight" id="in-flight" note={`${count(totals.failed)} failed`}>
          {count(totals.inFlight)}
        </Tile>
        <Tile name="Breaker" id="breaker" alarm={breaker.state !== 'closed'} note={plural(breaker.openings, 'opening')}>
          {breaker.state}
        </Tile>
        <Tile name="Connections" id="connections" note={plural(connections.reconnects, 'reconnect')}>
          {count(connections.open)}
        </Tile>
        <Tile
          name="Store errors"
          id="store-errors"
          alarm={errors > 0}
          note={plural(Object.keys(totals.storeErrors).length, 'code')}
        >
          {count(errors)}
        </Tile>
      </dl>
      <p className="muted footnote">Rates are the mean of the last {MEAN_SECONDS} s.</p>
    </section>
  );
}

interface TileProps {
  name: string;
  id: string;
  note: string;
  tone?: 'allowed' | 'denied' | 'degraded';
  alarm?: boolean;
  children: ReactNode;
}

function Tile({ name, id, note, tone, alarm = false, children }: TileProps) {
  return (
    <div className="tile" data-tone={tone} data-alarm={alarm || undefined}>
      <dt>{name}</dt>
      <dd data-metric={id}>{children}</dd>
      <dd className="note">{note}</dd>
    </div>
  );
}

function plural(n: number, word: string): string {
  return `${count(n)} ${word}${n === 1 ? '' : 's'}`;
}
