// F2: a shard of a cluster fails over: asked to, forced, taken over; and because its primary was killed.

import { above, logsOf, lostWrites, soughtOf, totalOf } from '../lost-writes.mjs';
import { healed, others, shardOf, shardRecovery } from '../shards.mjs';
import { Stage } from '../scenario.mjs';
import { now } from '../time.mjs';

const SICK = 1;
const ofSick = (decision) => shardOf(decision) === SICK;
/** Longer than a failover and the recovery from it: what was admitted before counts afterwards. */
const QUOTA = { windowMs: 8000 };
const STREAMS = { cold: 150 };
/** So soon a replica takes over for a primary that is gone. Sooner, a node that waits for a processor would be taken for gone. */
const NODE_TIMEOUT_MS = 2000;
/** The replica is read while nobody serves its shard, and whatever it thinks of the others meanwhile. */
const READABLE = ['--cluster-allow-reads-when-down', 'yes'];
/** From its promotion on. */
const RECOVERED_MS = 3000;

export const asked = {
  id: 'F2a',
  title: 'cluster: a shard fails over, is forced to, is taken over',
  quick: false,
  async run(context) {
    const server = await context.cluster();
    // A shard that hands over may do so between two checks.
    const stage = await Stage.open(context, { server, quota: QUOTA, streams: STREAMS, disruptive: false });
    const snapshots = [];
    for (const how of [[], ['FORCE'], ['TAKEOVER']]) {
      await stage.outage(['failover', ...how].join(' '), {
        begin: async () => {
          const port = await server.cluster.failOver(SICK, ...how);
          const takenAt = now();
          const kept = await logsOf((...command) => server.cluster.send(port, ...command));
          snapshots.push({ how, takenAt, kept, readAt: now() });
        },
        lastMs: 300,
      });
    }
    await stage.quiet();
    const lost = new Map();
    for (const [i, { how, takenAt, kept, readAt }] of snapshots.entries()) {
      // What an earlier failover has lost is missing still, and is counted there.
      const since = snapshots[i - 1]?.takenAt ?? 0;
      const own = (decision) => ofSick(decision) && decision.settledAt > since;
      const gone = lostWrites(stage, kept, takenAt, own);
      for (const [key, count] of gone) lost.set(key, (lost.get(key) ?? 0) + count);
      const sought = soughtOf(stage, takenAt, own);
      stage.note(`${['failover', ...how].join(' ')}: ${totalOf(gone)} of ${sought} acknowledged admissions lost`);
      // What left the window while the logs were read may be there no more.
      const missed = lostWrites(stage, kept, takenAt, own, readAt);
      stage.must(how.length > 0 || missed.size === 0, 'a failover with the primary’s word lost writes');
    }
    for (const [from, to] of stage.outages) others(stage, [from, to], SICK);
    stage.note(`${above(stage)} admissions above due`);
    // A log that is lost keeps no promise.
    return stage.finish({ lost: (key) => lost.get(key) ?? 0, except: lost.size > 0 ? ['I22'] : [] });
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
    const stage = await Stage.open(context, { server, quota: QUOTA, streams: STREAMS });
    const rounds = [];
    for (let i = 0; i < (context.quick ? 1 : 2); i++) {
      const round = {};
      await stage.outage('killed', {
        begin: async () => {
          const replica = await cluster.replica(SICK);
          const dead = await cluster.killPrimary(SICK);
          round.at = now();
          // Answers of the dead on their way come. Nobody else answers so soon.
          await stage.settledUntilNow();
          round.answeredAt = now();
          // Nobody writes to a replica until it is the primary.
          await cluster.send(replica, 'READONLY');
          round.kept = await logsOf((...command) => cluster.send(replica, ...command));
          await cluster.taken(SICK, replica);
          round.promotedAt = now();
          await cluster.restart(dead);
        },
      });
      await healed(stage, SICK);
      rounds.push(round);
    }
    await stage.quiet();
    const lost = new Map();
    for (const { at, answeredAt, kept, promotedAt } of rounds) {
      const gone = lostWrites(stage, kept, answeredAt, ofSick, at);
      for (const [key, count] of gone) lost.set(key, (lost.get(key) ?? 0) + count);
      const { took, running } = shardRecovery(stage, SICK, promotedAt);
      const promoted = Math.round(promotedAt - at);
      stage.note(
        `${totalOf(gone)} of ${soughtOf(stage, answeredAt, ofSick, at)} acknowledged admissions lost; promoted after ${promoted} ms, and decided again ${Math.round(took)} ms after that`,
      );
      stage.must(
        running <= RECOVERED_MS,
        `I18: the shard decided again after ${Math.round(running)} ms of running from its promotion on`,
      );
    }
    for (const outage of stage.outages) others(stage, outage, SICK);
    stage.note(`${above(stage)} admissions above due`);
    return stage.finish({ lost: (key) => lost.get(key) ?? 0, except: lost.size > 0 ? ['I22'] : [] });
  },
};
