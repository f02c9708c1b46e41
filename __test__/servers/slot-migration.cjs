'use strict';
// A slot on its way from shard to shard. Until it has arrived, who asks its old shard for keys that have left is told ASK, and
// who asks for several of which some have left is told TRYAGAIN.

const { idOf } = require('./nodes-conf.cjs');

/** Keys that travel at once. */
const BATCH = 10;
/** How long they may take: far more than they do, so that a busy machine is no failure. */
const MIGRATE_MS = 30_000;

class SlotMigration {
  static async begin(cluster, { slot, from, to }) {
    if (from === to) throw new Error(`slot ${slot} is there already`);
    const migration = new SlotMigration(cluster, { slot, from, to });
    await migration.#set(to, 'IMPORTING', from);
    await migration.#set(from, 'MIGRATING', to);
    return migration;
  }

  /** @param from the port of the primary that had it; `to`, of the one that gets it */
  constructor(cluster, { slot, from, to }) {
    Object.assign(this, { cluster, slot, from, to });
  }

  /** Lets go as many keys as there are, at most `most`; how many there were. */
  async keys(most = BATCH) {
    const keys = await this.cluster.send(this.from, 'CLUSTER', 'GETKEYSINSLOT', this.slot, most);
    if (keys.length > 0) await this.send(...keys);
    return keys.length;
  }

  /** Lets these keys go. Those that have expired meanwhile are no matter. */
  async send(...keys) {
    const { username, password } = this.cluster.admin;
    const login = username ? ['AUTH2', username, password] : password ? ['AUTH', password] : [];
    const address = ['127.0.0.1', this.to, '', 0, MIGRATE_MS];
    await this.cluster.send(this.from, 'MIGRATE', ...address, ...login, 'KEYS', ...keys);
  }

  /** Moves the rest, and tells the primaries where the slot is now; waits until the replicas have heard of it from them. */
  async finish() {
    while ((await this.keys()) > 0);
    // The new owner gives its claim a later epoch than all that it has heard of. If it had not heard of the old owner's latest, a
    // message under way from there would take the slot away again, and then nobody would have it.
    await this.cluster.agreed();
    // The new owner first: between the two nobody would be.
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
