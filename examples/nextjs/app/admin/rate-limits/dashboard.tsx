'use client';

import { useState } from 'react';
import type { CreatorPlan } from '@huntaze/rate-limit';
import { AnomalyList } from './anomaly-list';
import { CreatorsTable } from './creators-table';
import { KeyFigures } from './key-metrics';
import { LatencyChart } from './latency-chart';
import { Masthead } from './page-header';
import { QuotaDesk } from './quota-lookup';
import { isStoreAway } from './store-unavailable';
import { StorePanel } from './store-panel';
import { TrafficChart } from './traffic-chart';
import { useLiveFigures } from './use-live-data';

/** A creator picked from the table; each pick is a new object, so that the same one can be picked again. */
export interface Pick {
  readonly creatorId: string;
  readonly plan: CreatorPlan;
}

export function Dashboard() {
  const { link, figures, end } = useLiveFigures();
  const [pick, setPick] = useState<Pick>();
  const now = figures?.samples.at(-1)?.t ?? figures?.standing?.at;
  return (
    <>
      <a className="skip" href="#figures">
        Skip to the figures
      </a>
      <Masthead link={link} facts={figures?.facts} />
      <main id="figures" tabIndex={-1} aria-busy={figures === undefined}>
        {figures === undefined ? (
          <p className="waiting">
            {link === 'ended' ? 'Sign in again to see figures.' : 'Waiting for the first figures…'}
          </p>
        ) : (
          <>
            <KeyFigures figures={figures} />
            <TrafficChart samples={figures.samples} />
            <LatencyChart samples={figures.samples} store={figures.facts.store} />
            <CreatorsTable standing={figures.standing} now={now} onPick={setPick} />
          </>
        )}
        <div className="side">
          <QuotaDesk pick={pick} storeAway={isStoreAway(figures)} onSessionOver={end} />
          {figures !== undefined && (
            <>
              <AnomalyList anomalies={figures.anomalies} total={figures.totals.anomalies} />
              <StorePanel totals={figures.totals} changes={figures.changes} store={figures.facts.store} />
            </>
          )}
        </div>
      </main>
    </>
  );
}
