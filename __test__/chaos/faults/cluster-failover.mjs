// F2: a shard fails over: on request, with FORCE, with TAKEOVER; and after the death of its primary.

import { above, logsOf, lostWrites, acknowledgedWrites, totalOf } from '../lost-writes.mjs';
import { waitForShard, otherShardsUnaffected, shardOf, shardRecovery } from '../shards.mjs';
import { Scenario } from '../scenario.mjs';
import { now } from '../time.mjs';

const FAULTY = 1;
const ofFaulty = (decision) => shardOf(decision) === FAULTY;
/** Longer than a failover and the recovery from it: earlier admissions still count afterwards. */
const QUOTA = { windowMs: 8000 };
const STREAMS = { cold: 150 };
/**
 * The time until a replica replaces a dead primary. With a shorter one a node that waits for a processor would be taken
 * for dead.
 */
const NODE_TIMEOUT_MS = 2000;
/** The replica is read while its shard has no primary, and whatever it knows of the other nodes. */
const READABLE = ['--cluster-allow-reads-when-down', 'yes'];
/** Since its promotion. */
const RECOVERED_MS = 3000;

export const asked = {
  id: 'F2a',
  title: 'cluster: a shard fails over, is forced to, is taken over',
  quick: false,
  async run(context) {
    const server = await context.cluster();
    // A planned failover may complete between two checks.
    const scenario = await Scenario.open(context, { server, quota: QUOTA, streams: STREAMS, disruptive: false });
    const snapshots = [];
    for (const how of [[], ['FORCE'], ['TAKEOVER']]) {
      await scenario.outage(['failover', ...how].join(' '), {
        begin: async () => {
          const port = await server.cluster.failOver(FAULTY, ...how);
          const takenAt = now();
          const kept = await logsOf((...command) => server.cluster.send(port, ...command));
          snapshots.push({ how, takenAt, kept, readAt: now() });
        },
        lastMs: 300,
      });
    }
    await scenario.stopTraffic();
    const lost = new Map();
    for (const [i, { how, takenAt, kept, readAt }] of snapshots.entries()) {
      // Writes lost by an earlier failover are still missing, and are counted there.
      const since = snapshots[i - 1]?.takenAt ?? 0;
      const own = (decision) => ofFaulty(decision) && decision.settledAt > since;
      const gone = lostWrites(scenario, kept, takenAt, own);
      for (const [key, count] of gone) lost.set(key, (lost.get(key) ?? 0) + count);
      const sought = acknowledgedWrites(scenario, takenAt, own);
      scenario.note(`${['failover', ...how].join(' ')}: ${totalOf(gone)} of ${sought} acknowledged admissions lost`);
      // Admissions that left the window during the reading may be gone.
      const missed = lostWrites(scenario, kept, takenAt, own, readAt);
      scenario.must(how.length > 0 || missed.size === 0, 'a planned failover lost writes');
    }
    for (const [from, to] of scenario.outages) otherShardsUnaffected(scenario, [from, to], FAULTY);
    scenario.note(`${above(scenario)} admissions above due`);
    // A lost log keeps no promised retry time.
    return scenario.finish({ lost: (key) => lost.get(key) ?? 0, except: lost.size > 0 ? ['I22'] : [] });
  },
};

export const killed = {
  id: 'F2b',
  title: 'cluster: a shard’s primary killed under load',
  quick: true,
  slow: 2,
  async run(context) {
    const server = await context.cluster({ nodeTimeoutMs: NODE_TIMEOUT_MS, options: READABLE });
    const { cluster } = server;
    const scenario = await Scenario.open(context, { server, quota: QUOTA, streams: STREAMS });
    const rounds = [];
    for (let i = 0; i < (context.quick ? 1 : 2); i++) {
      const round = {};
      await scenario.outage('killed', {
        begin: async () => {
          const replica = await cluster.replica(FAULTY);
          const dead = await cluster.killPrimary(FAULTY);
          round.at = now();
          // Replies of the dead primary may still arrive. No other node answers so soon.
          await scenario.settledUntilNow();
          round.answeredAt = now();
          // No client writes to a replica before its promotion.
          await cluster.send(replica, 'READONLY');
          round.kept = await logsOf((...command) => cluster.send(replica, ...command));
          await cluster.taken(FAULTY, replica);
          round.promotedAt = now();
          await cluster.restart(dead);
        },
      });
      await waitForShard(scenario, FAULTY);
      rounds.push(round);
    }
    await scenario.stopTraffic();
    const lost = new Map();
    for (const { at, answeredAt, kept, promotedAt } of rounds) {
      const gone = lostWrites(scenario, kept, answeredAt, ofFaulty, at);
      for (const [key, count] of gone) lost.set(key, (lost.get(key) ?? 0) + count);
      const { took, running } = shardRecovery(scenario, FAULTY, promotedAt);
      const promoted = Math.round(promotedAt - at);
      scenario.note(
        `${totalOf(gone)} of ${acknowledgedWrites(scenario, answeredAt, ofFaulty, at)} acknowledged admissions lost; promoted after ${promoted} ms, and decided again ${Math.round(took)} ms after that`,
      );
      scenario.must(
        running <= RECOVERED_MS,
        `I18: the shard decided again after ${Math.round(running)} ms of running from its promotion on`,
      );
    }
    for (const outage of scenario.outages) otherShardsUnaffected(scenario, outage, FAULTY);
    scenario.note(`${above(scenario)} admissions above due`);
    return scenario.finish({ lost: (key) => lost.get(key) ?? 0, except: lost.size > 0 ? ['I22'] : [] });
  },
};
