'use strict';
// A real Redis Cluster, three primaries with a replica each, on free loopback ports. Most of its start-up time are the
// two seconds for which a new primary of Redis serves no client.

const { mkdtempSync, readFileSync, rmSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');
const { NodesConf, NODES, SHARDS, SLOTS, slotOf } = require('./nodes-conf.cjs');
const { SlotMigration } = require('./slot-migration.cjs');
const { Node } = require('./node.cjs');
const { freePorts, isTaken } = require('./ports.cjs');
const { certificate: localhost, tlsOptions } = require('./tls.cjs');
const { ADMIN, usersIn } = require('./users.cjs');
const { claims, nodesSeenBy, ownerOf } = require('./cluster-nodes.cjs');

/** Far more than any step takes, so that a busy machine is no failure. */
const PATIENCE_MS = 30_000;
const ATTEMPTS = 5;
/** Gossip between nodes is in flight for a millisecond or two. */
const GOSSIP_MS = 2;
/**
 * A node that is silent for so long counts as failed, which changes the owners of slots. No machine is so busy; a test
 * of that passes a shorter time. Nodes exchange less urgent data, such as a host name, within half of it.
 */
const NODE_TIMEOUT_MS = 5000;
/** Redis abandons a requested failover after 5 s, without an error. */
const FAILOVER_MS = 6000;

class Cluster {
  /** The nodes that were killed or frozen, and must not be queried. */
  #unreachable = new Set();

  /**
   * @param tls whether every port uses TLS; then `certificate` has the files `{ ca, cert, key }` of all nodes
   * @param username the limiter's user, if there are users: the default user is off then. Without it all clients use
   *   the password
   * @param hostNames the announced name of each node; `'localhost'` is the same for all. Default: nodes announce their
   *   IP address
   * @param nodeTimeoutMs the time without a reply after which a node counts as failed
   * @param options of redis-server, for each node
   */
  static async start(options = {}) {
    for (let attempt = 1; ; attempt++) {
      const cluster = new Cluster(options);
      try {
        await cluster.#start(options);
        return cluster;
      } catch (error) {
        await cluster.stop();
        // Another process may take one of the ports in between.
        if (attempt === ATTEMPTS || !isTaken(error)) throw error;
      }
    }
  }

  constructor({ tls = false, username, password, certificate = localhost }) {
    Object.assign(this, { tls, username, password, certificate });
    this.folder = mkdtempSync(join(tmpdir(), 'rate-limit-cluster-'));
  }

  async #start({ hostNames, nodeTimeoutMs = NODE_TIMEOUT_MS, options = [] }) {
    const ports = await freePorts(2 * NODES);
    this.ports = ports.slice(0, NODES);
    const names = typeof hostNames === 'string' ? this.ports.map(() => hostNames) : hostNames;
    const nodesConf = new NodesConf({ ports: this.ports, buses: ports.slice(NODES), hostNames: names });
    this.nodes = this.ports.map((port, i) => {
      const own = [
        ...nodesConf.options(i, this.folder),
        ...['--cluster-node-timeout', nodeTimeoutMs],
        ...(this.tls ? tlsOptions(port, this.certificate) : []),
        ...this.#accessOptions(),
        ...options,
      ];
      return new Node({ port, folder: this.folder, options: own, admin: this.admin });
    });
    await Promise.all(this.nodes.map((node) => node.start()));
    await this.settled();
  }

  #accessOptions() {
    const { username, password } = this;
    if (username !== undefined) return usersIn(this.folder, { username, password });
    return password === undefined ? [] : ['--requirepass', password, '--masterauth', password];
  }

  /** The credentials of the tests themselves. */
  get admin() {
    if (this.username !== undefined) return ADMIN;
    return this.password === undefined ? {} : { password: this.password };
  }

  /** The CA of its certificates, in PEM form. */
  get ca() {
    return readFileSync(this.certificate.ca, 'utf8');
  }

  /** The port of a seed node. */
  get seed() {
    return this.ports[0];
  }

  node(port) {
    return this.nodes[this.ports.indexOf(port)];
  }

  /** Sends a command of the tests to the node on a port; returns the reply. */
  send(port, ...command) {
    return this.node(port).send(...command);
  }

  /** The ports of the primaries, in order of the shards. */
  async primaries() {
    return Promise.all(Array.from({ length: SHARDS }, (_, shard) => this.primary(shard)));
  }

  /** The port of a shard's primary, as seen by a reachable node. */
  async primary(shard) {
    const port = await this.#primaryBy(this.reachable()[0], shard);
    if (port === undefined) throw new Error(`no node is the primary of shard ${shard}`);
    return port;
  }

  /** The port of a shard's replica: its node that is not the primary. */
  async replica(shard) {
    const primary = await this.primary(shard);
    return [shard, shard + SHARDS].map((node) => this.ports[node]).find((port) => port !== primary);
  }

  /** The shard that serves a slot. */
  async shardOf(slot) {
    return ownerOf(slot, await nodesSeenBy(this, this.reachable()[0])).index % SHARDS;
  }

  /** The nodes that were neither killed nor frozen. */
  reachable() {
    return this.ports.filter((port) => !this.#unreachable.has(port));
  }

  async kill(port) {
    this.#unreachable.add(port);
    await this.node(port).kill();
  }

  /** Ends a shard's primary as a power cut would; returns its port. */
  async killPrimary(shard) {
    const port = await this.primary(shard);
    await this.kill(port);
    return port;
  }

  /** Restarts killed nodes, and waits until they have rejoined the cluster. */
  async restart(...ports) {
    await Promise.all(ports.map((port) => this.node(port).start()));
    for (const port of ports) this.#unreachable.delete(port);
    await this.settled();
  }

  freeze(port) {
    this.#unreachable.add(port);
    this.node(port).freeze();
  }

  thaw(port) {
    this.node(port).thaw();
    this.#unreachable.delete(port);
  }

  /**
   * Promotes a shard's replica: by a planned failover, without the primary's consent (`FORCE`), or without any vote
   * (`TAKEOVER`). Returns the port of the new primary.
   */
  async failOver(shard, ...how) {
    // The replica has to be in sync, and the voting nodes must know it.
    await this.settled();
    const replica = await this.replica(shard);
    let askedAt = -Infinity;
    await this.#until(`${replica} does not become the primary of shard ${shard}`, async () => {
      if (await this.#isTaken(shard, replica)) return true;
      if (performance.now() - askedAt > FAILOVER_MS) {
        askedAt = performance.now();
        await this.send(replica, 'CLUSTER', 'FAILOVER', ...how);
      }
      return false;
    });
    await this.settled();
    return replica;
  }

  /** Waits until every reachable node sees the port as the shard's primary, and it serves. */
  async taken(shard, port) {
    await this.#until(`${port} does not become the primary of shard ${shard}`, () => this.#isTaken(shard, port));
    await this.settled();
  }

  /** Begins to migrate a slot to a shard, without moving a key yet. */
  async importing(slot, to) {
    const [from, there] = [await this.primary(await this.shardOf(slot)), await this.primary(to)];
    // A node that does not know yet that it owns the slot refuses to migrate it.
    await this.owned(slot, from);
    return SlotMigration.begin(this, { slot, from, to: there });
  }

  /** Migrates a slot and its keys to a shard, under traffic. */
  async migrate(slot, to) {
    const migration = await this.importing(slot, to);
    await migration.finish();
  }

  /** Waits until all reachable nodes have the same view of slot owners and roles. */
  async agreed() {
    await this.#until(
      'the nodes do not agree',
      async () => new Set((await this.#views()).map(claims)).size === 1,
      GOSSIP_MS,
    );
  }

  /** Waits until every reachable node sees the slot at that port. */
  async owned(slot, port) {
    const index = this.ports.indexOf(port);
    await this.#until(
      `not every node hears that slot ${slot} is at ${port}`,
      async () => (await this.#views()).every((nodes) => ownerOf(slot, nodes)?.index === index),
      GOSSIP_MS,
    );
  }

  /**
   * Waits until every reachable node serves, reaches all the others and knows their names, every replica is in sync,
   * and all agree.
   */
  async settled() {
    const says = async (port, word, ...command) => `${await this.send(port, ...command)}`.includes(word);
    const serves = async (port) =>
      (await says(port, 'cluster_state:ok', 'CLUSTER', 'INFO')) &&
      ((await says(port, 'role:master', 'INFO', 'replication')) ||
        (await says(port, 'master_link_status:up', 'INFO', 'replication')));
    const ofReachable = (nodes) => this.reachable().map((port) => nodes[this.ports.indexOf(port)]);
    const reaches = (nodes) => ofReachable(nodes).every((node) => node?.isReached);
    const names = (nodes) => ofReachable(nodes).map((node) => node?.name);
    const agree = (views, by) => new Set(views.map((nodes) => by(nodes).toString())).size === 1;
    await this.#until('the cluster does not settle', async () => {
      const all = await Promise.all(this.reachable().map((port) => serves(port).catch(() => false)));
      if (!all.every(Boolean)) return false;
      const views = (await this.#views()).map((nodes) => nodes.sort((a, b) => a.index - b.index));
      return views.every(reaches) && agree(views, claims) && agree(views, names);
    });
  }

  async stop() {
    await Promise.all((this.nodes ?? []).map((node) => node.kill()));
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Every reachable node's view of the cluster. A node that has just been killed may not answer. */
  #views() {
    return Promise.all(this.reachable().map((asked) => nodesSeenBy(this, asked).catch(() => [])));
  }

  async #isTaken(shard, port) {
    const said = await Promise.all(this.reachable().map((asked) => this.#primaryBy(asked, shard)));
    return said.every((primary) => primary === port);
  }

  async #primaryBy(asked, shard) {
    const nodes = await nodesSeenBy(this, asked).catch(() => []);
    const found = nodes.find(({ index, isPrimary }) => isPrimary && index % SHARDS === shard);
    return found && this.ports[found.index];
  }

  /** Polls until the condition holds: the nodes exchange their states by gossip alone. */
  async #until(otherwise, so, every = 10) {
    for (const end = performance.now() + PATIENCE_MS; !(await so()); await sleep(every)) {
      if (performance.now() > end) throw new Error(otherwise);
    }
  }
}

module.exports = { Cluster, SHARDS, SLOTS, slotOf };
