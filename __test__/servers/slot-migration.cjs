'use strict';
// A slot in migration between shards. Until it is complete, the old shard answers ASK for keys that have moved, and
// TRYAGAIN for several keys of which some have moved.

const { idOf } = require('./nodes-conf.cjs');

/** Keys in one MIGRATE. */
const BATCH = 10;
/** The timeout of a MIGRATE: far more than it takes, so that a busy machine is no failure. */
const MIGRATE_MS = 30_000;

class SlotMigration {
  static async begin(cluster, { slot, from, to }) {
    if (from === to) throw new Error(`slot ${slot} is there already`);
    const migration = new SlotMigration(cluster, { slot, from, to });
    await migration.#set(to, 'IMPORTING', from);
    await migration.#set(from, 'MIGRATING', to);
    return migration;
  }

  /** @param from the port of the primary that owns the slot; `to`, of the one that gets it */
  constructor(cluster, { slot, from, to }) {
    Object.assign(this, { cluster, slot, from, to });
  }

  /** Moves the existing keys, at most `most`; returns their number. */
  async keys(most = BATCH) {
    const keys = await this.cluster.send(this.from, 'CLUSTER', 'GETKEYSINSLOT', this.slot, most);
    if (keys.length > 0) await this.send(...keys);
    return keys.length;
  }

  /** Moves these keys. Keys that have expired meanwhile are ignored. */
  async send(...keys) {
    const { username, password } = this.cluster.admin;
    const login = username ? ['AUTH2', username, password] : password ? ['AUTH', password] : [];
    const address = ['127.0.0.1', this.to, '', 0, MIGRATE_MS];
    await this.cluster.send(this.from, 'MIGRATE', ...address, ...login, 'KEYS', ...keys);
  }

  /** Moves the rest, and assigns the slot on all primaries; waits until the replicas have heard of it. */
  async finish() {
    while ((await this.keys()) > 0);
    // The new owner claims the slot with a later epoch than any it knows. If it did not know the old owner's latest
    // one, a message in flight from there would take the slot away again, and then no node would own it.
    await this.cluster.agreed();
    // The new owner first: in the other order the slot would have no owner in between.
    for (const port of [this.to, this.from]) await this.#set(port, 'NODE', this.to);
    const others = (await this.cluster.primaries()).filter((port) => port !== this.to && port !== this.from);
    await Promise.all(others.map((port) => this.#set(port, 'NODE', this.to)));
    await this.cluster.owned(this.slot, this.to);
  }

  async #set(port, what, node) {
    const id = idOf(this.cluster.ports.indexOf(node));
    await this.cluster.send(port, 'CLUSTER', 'SETSLOT', this.slot, what, id);
  }
}

module.exports = { SlotMigration };
