// A Redis Cluster for faults: three primaries with a replica each. A command for the whole cluster goes to every
// primary.

import servers from '../servers/index.cjs';
import { Heartbeat } from './heartbeat.mjs';

const { Cluster } = servers;

/** The user of the limiters, on servers with users. */
export const USER = 'limiter';

export class ClusterServer {
  /**
   * @param secure whether it uses TLS and users; otherwise a password. The other options are those of
   *   servers/cluster.cjs
   */
  static async start({ secure, password, ...options }) {
    const own = secure ? { tls: true, username: USER, hostNames: 'localhost' } : {};
    const cluster = await Cluster.start({ password, ...own, ...options });
    return new ClusterServer(cluster, secure, password);
  }

  constructor(cluster, secure, password) {
    Object.assign(this, { cluster, secure, host: secure ? 'localhost' : '127.0.0.1', port: cluster.seed });
    this.heartbeat = new Heartbeat(cluster);
    /** The limiter's options besides host and port. */
    this.access = secure ? { username: USER, password, tls: { ca: cluster.ca } } : { password };
  }

  /** The processes of the nodes that were not killed. */
  get pids() {
    return this.cluster.nodes.flatMap(({ pid }) => pid ?? []);
  }

  /** Sends one command to every primary; returns the reply of the first. */
  async send(...command) {
    const [first] = await this.sendAll(await this.cluster.primaries(), ...command);
    return first;
  }

  /** Sends one command to each of these nodes. */
  sendAll(ports, ...command) {
    return Promise.all(ports.map((port) => this.cluster.send(port, ...command)));
  }

  /** A connection to each primary. */
  async connectAll() {
    const primaries = await this.cluster.primaries();
    return primaries.map((port) => ({ send: (...command) => this.cluster.send(port, ...command), close() {} }));
  }

  config(name, value) {
    return this.send('CONFIG', 'SET', name, value);
  }

  /** Closes all connections but those of the suite. */
  async killClients(ports = this.cluster.reachable()) {
    await this.sendAll(ports, 'CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  }

  /** The number of connections over all nodes, without those of the suite. */
  async clients() {
    const lists = await this.sendAll(this.cluster.reachable(), 'CLIENT', 'LIST', 'TYPE', 'normal');
    return lists.flatMap((list) => list.trim().split('\n')).filter((line) => !/ flags=\w*U/.test(line)).length;
  }

  /** A power cut of every node. */
  async kill() {
    await Promise.all(this.cluster.ports.map((port) => this.cluster.kill(port)));
  }

  async restart() {
    await this.cluster.restart(...this.cluster.ports);
  }

  freeze() {
    for (const port of this.cluster.ports) this.cluster.freeze(port);
  }

  thaw() {
    for (const port of this.cluster.ports) this.cluster.thaw(port);
  }

  stop() {
    this.heartbeat.stop();
    return this.cluster.stop();
  }
}
