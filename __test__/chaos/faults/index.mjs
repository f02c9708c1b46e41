// Every fault, in the order of the report.

import certificates from './certificates.mjs';
import checker from './checker.mjs';
import { clientClocks, serverClock } from './clocks.mjs';
import clusterCertificates from './cluster-certificates.mjs';
import clusterReconnectStorm from './cluster-reconnect-storm.mjs';
import { down, gone } from './cluster-down.mjs';
import { asked, killed } from './cluster-failover.mjs';
import { halfWay, live } from './cluster-slot-migration.mjs';
import { circular, unroutable } from './cluster-redirects.mjs';
import clusterUsers from './cluster-users.mjs';
import connections from './connections.mjs';
import control from './control.mjs';
import reconnectStorm from './reconnect-storm.mjs';
import processExit from './process-exit.mjs';
import { flushedEverywhere, fullEverywhere, killedEverywhere, pausedEverywhere } from './whole-cluster.mjs';
import failover from './failover.mjs';
import frozenClient from './frozen-client.mjs';
import loading from './loading.mjs';
import passwordRotation from './password-rotation.mjs';
import { evicted, full } from './memory.mjs';
import { elsewhere, unresolved } from './dns.mjs';
import outage from './outage.mjs';
import serverPause from './server-pause.mjs';
import maxclients from './maxclients.mjs';
import { promoted, promotedOverTls } from './promotion.mjs';
import { garbage, outOfStep } from './corrupt-replies.mjs';
import { demoted, masterDown } from './demotion.mjs';
import { busy, flushed } from './scripts.mjs';
import blackHole from './black-hole.mjs';
import { latency, slices } from './latency.mjs';

/**
 * Each is `{ id, title, quick, slow, run(context) }`: whether it is in the quick run, and its relative duration: slow
 * ones start first. `run` resolves to the figures and violations of its row.
 */
export const faults = [
  checker,
  control,
  outage,
  killedEverywhere,
  asked,
  killed,
  demoted,
  circular,
  unroutable,
  live,
  halfWay,
  gone,
  down,
  loading,
  masterDown,
  connections,
  blackHole,
  latency,
  slices,
  serverPause,
  pausedEverywhere,
  busy,
  flushed,
  flushedEverywhere,
  full,
  evicted,
  fullEverywhere,
  maxclients,
  certificates,
  clusterCertificates,
  passwordRotation,
  clusterUsers,
  unresolved,
  elsewhere,
  promoted,
  promotedOverTls,
  frozenClient,
  reconnectStorm,
  clusterReconnectStorm,
  processExit,
  serverClock,
  clientClocks,
  garbage,
  outOfStep,
  failover,
];
