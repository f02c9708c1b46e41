'use strict';
// A real Redis Cluster, three primaries with a replica each, on free ports of loopback. What takes its time to start are the
// two seconds for which a primary of Redis serves nobody after its start.

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

/** Far more than anything here takes, so that a busy machine is no failure. */
const PATIENCE_MS = 30_000;
const ATTEMPTS = 5;
/** What nodes tell each other is under way for a millisecond or two. */
const GOSSIP_MS = 2;
/** A node that is silent for so long counts as failed, which changes who serves what. No machine is so busy; a test of what the
 *  nodes do then says a shorter time. What is not urgent, a name for one, nodes tell each other within half of it. */
const NODE_TIMEOUT_MS = 5000;
/** Redis gives up a failover that was asked for after 5 s, without a word. */
const FAILOVER_MS = 6000;

class Cluster {
  /** Who was killed or frozen, and is not to be asked. */
  #unreachable = new Set();

  /**
   * @param tls whether TLS is all that is spoken; `certificate` then, the files `{ ca, cert, key }` that all show
   * @param username the limiter's user, where there are users: the default one is off then. Without: the password is everybody's
   * @param hostNames what each node says it is called; `'localhost'` is the same for all. Absent: they say their address
   * @param nodeTimeoutMs after how long without an answer a node counts as failed
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
        // Somebody else may take one of the ports in between.
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

  /** Who the tests are there. */
  get admin() {
    if (this.username !== undefined) return ADMIN;
    return this.password === undefined ? {} : { password: this.password };
  }

  /** The authority of its certificates, in PEM form. */
  get ca() {
    return readFileSync(this.certificate.ca, 'utf8');
  }

  /** The port of a node to begin with. */
  get seed() {
    return this.ports[0];
  }

  node(port) {
    return this.nodes[this.ports.indexOf(port)];
  }

  /** What the node on a port answers to a command of the tests' own. */
  send(port, ...command) {
    return this.node(port).send(...command);
  }

  /** The ports of the primaries, in order of the shards. */
  async primaries() {
    return Promise.all(Array.from({ length: SHARDS }, (_, shard) => this.primary(shard)));
  }

  /** The port of a shard's primary, as the nodes that can be asked have it. */
  async primary(shard) {
    const port = await this.#primaryBy(this.reachable()[0], shard);
    if (port === undefined) throw new Error(`no node is the primary of shard ${shard}`);
    return port;
  }

  /** The port of a shard's replica: whoever is not its primary. */
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

  /** Ends a shard's primary as a power cut would; its port. */
  async killPrimary(shard) {
    const port = await this.primary(shard);
    await this.kill(port);
    return port;
  }

  /** Starts what was killed again, and waits until it is part of the cluster. */
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

  /** A shard's replica becomes its primary: as an operator asks for it, without the primary's word (`FORCE`), or without
   *  anybody's (`TAKEOVER`). The port of the new one. */
  async failOver(shard, ...how) {
    // The replica has to follow, and those who are asked for their vote to know that it does.
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

  /** Waits until every node that can be asked takes the port for the shard's primary, and it serves. */
  async taken(shard, port) {
    await this.#until(`${port} does not become the primary of shard ${shard}`, () => this.#isTaken(shard, port));
    await this.settled();
  }

  /** Begins to move a slot to a shard, and no key yet. */
  async importing(slot, to) {
    const [from, there] = [await this.primary(await this.shardOf(slot)), await this.primary(to)];
    // A node that has not heard yet that the slot is its own refuses to give it away.
    await this.owned(slot, from);
    return SlotMigration.begin(this, { slot, from, to: there });
  }

  /** Moves a slot and its keys to a shard, while it is being used. */
  async migrate(slot, to) {
    const migration = await this.importing(slot, to);
    await migration.finish();
  }

  /** Waits until every node that can be asked has heard the same of who serves what. */
  async agreed() {
    await this.#until(
      'the nodes do not agree',
      async () => new Set((await this.#views()).map(claims)).size === 1,
      GOSSIP_MS,
    );
  }

  /** Waits until every node that can be asked has heard that a slot is at that port. */
  async owned(slot, port) {
    const index = this.ports.indexOf(port);
    await this.#until(
      `not every node hears that slot ${slot} is at ${port}`,
      async () => (await this.#views()).every((nodes) => ownerOf(slot, nodes)?.index === index),
      GOSSIP_MS,
    );
  }

  /** Waits until every node that can be asked serves, reaches all the others and knows their names, every replica follows, and they agree. */
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

  /** What every node that can be asked says of the cluster. One that has just been killed may say nothing any more. */
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

  /** Asks until it is so: nodes tell each other by themselves, and nobody else. */
  async #until(otherwise, so, every = 10) {
    for (const end = performance.now() + PATIENCE_MS; !(await so()); await sleep(every)) {
      if (performance.now() > end) throw new Error(otherwise);
    }
  }
}

module.exports = { Cluster, SHARDS, SLOTS, slotOf };
