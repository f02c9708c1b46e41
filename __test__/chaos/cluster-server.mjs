// A Redis Cluster for faults: three primaries with a replica each. What is said to it as a whole is said to every primary.

import servers from '../servers/index.cjs';
import { Heartbeat } from './heartbeat.mjs';

const { Cluster } = servers;

/** The user of the limiters, where there are users. */
export const USER = 'limiter';

export class ClusterServer {
  /** @param secure whether it speaks TLS and has users; else it has a password. The rest as in servers/cluster.cjs */
  static async start({ secure, password, ...options }) {
    const own = secure ? { tls: true, username: USER, hostNames: 'localhost' } : {};
    const cluster = await Cluster.start({ password, ...own, ...options });
    return new ClusterServer(cluster, secure, password);
  }

  constructor(cluster, secure, password) {
    Object.assign(this, { cluster, secure, host: secure ? 'localhost' : '127.0.0.1', port: cluster.seed });
    this.heartbeat = new Heartbeat(cluster);
    /** What a limiter has to know besides the place. */
    this.access = secure ? { username: USER, password, tls: { ca: cluster.ca } } : { password };
  }

  /** Of the processes of nodes that were not killed. */
  get pids() {
    return this.cluster.nodes.flatMap(({ pid }) => pid ?? []);
  }

  /** One command on every primary; what the first answered. */
  async send(...command) {
    const [first] = await this.sendAll(await this.cluster.primaries(), ...command);
    return first;
  }

  /** One command on each of these nodes. */
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

  /** Their connections other than the suite's own are closed. */
  async killClients(ports = this.cluster.reachable()) {
    await this.sendAll(ports, 'CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  }

  /** How many connections all nodes have, but for those of the suite. */
  async clients() {
    const lists = await this.sendAll(this.cluster.reachable(), 'CLIENT', 'LIST', 'TYPE', 'normal');
    return lists.flatMap((list) => list.trim().split('\n')).filter((line) => !/ flags=\w*U/.test(line)).length;
  }

  /** As a power cut in every place. */
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
