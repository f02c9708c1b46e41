'use client';

import { useState } from 'react';
import type { CreatorPlan } from '@huntaze/rate-limit';
import { AnomalyList } from './anomaly-list';
import { CreatorsTable } from './creators-table';
import { KeyMetrics } from './key-metrics';
import { LatencyChart } from './latency-chart';
import { PageHeader } from './page-header';
import { QuotaLookup } from './quota-lookup';
import { isStoreUnavailable } from './store-unavailable';
import { StorePanel } from './store-panel';
import { TrafficChart } from './traffic-chart';
import { useLiveData } from './use-live-data';

/** A creator selected in the table; each selection is a new object, so that the same one can be selected again. */
export interface SelectedCreator {
  readonly creatorId: string;
  readonly plan: CreatorPlan;
}

export function Dashboard() {
  const { connection, data, end } = useLiveData();
  const [selected, setSelected] = useState<SelectedCreator>();
  const now = data?.samples.at(-1)?.t ?? data?.topCreators?.at;
  return (
    <>
      <a className="skip-link" href="#figures">
        Skip to the figures
      </a>
      <PageHeader connection={connection} processInfo={data?.processInfo} />
      <main id="figures" tabIndex={-1} aria-busy={data === undefined}>
        {data === undefined ? (
          <p className="loading">
            {connection === 'ended' ? 'Sign in again to see figures.' : 'Waiting for the first figures…'}
          </p>
        ) : (
          <>
            <KeyMetrics data={data} />
            <TrafficChart samples={data.samples} />
            <LatencyChart samples={data.samples} store={data.processInfo.store} />
            <CreatorsTable topCreators={data.topCreators} now={now} onSelect={setSelected} />
          </>
        )}
        <div className="sidebar">
          <QuotaLookup selected={selected} storeUnavailable={isStoreUnavailable(data)} onSessionOver={end} />
          {data !== undefined && (
            <>
              <AnomalyList anomalies={data.anomalies} total={data.totals.anomalies} />
              <StorePanel totals={data.totals} storeChanges={data.storeChanges} store={data.processInfo.store} />
            </>
          )}
        </div>
      </main>
    </>
  );
}
