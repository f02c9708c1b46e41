// The servers, proxies and processes of one fault. All of them are closed after it, however it ends.

import { TrafficProcess } from './traffic-process.mjs';
import { ClusterServer } from './cluster-server.mjs';
import { Proxy } from './proxy.mjs';
import { canary } from './secrets.mjs';
import { RedisServer } from './servers.mjs';
import { SchedulingDelays } from './scheduling-delays.mjs';
import { WrongClock } from './wrong-clock.mjs';

export class Context {
  /** A new one for each fault; see secrets.mjs. */
  password = canary();
  /** See scheduling-delays.mjs. */
  delays = new SchedulingDelays(() => this.#servers.flatMap(({ pids }) => pids));
  #servers = [];
  #open = [];

  /**
   * @param quick runs the short form of a fault
   * @param flavour the kind of cluster for the faults of clusters: see options.mjs
   */
  constructor({ quick = false, flavour = 'cluster-tls-users' } = {}) {
    Object.assign(this, { quick, flavour });
  }

  step(text) {
    console.log(`  ${text}`);
  }

  async server(options = {}) {
    const server = await RedisServer.start({ password: this.password, ...options });
    return this.#served(server);
  }

  /** A cluster of the flavour, with the options of servers/cluster.cjs. */
  async cluster(options = {}) {
    const secure = this.flavour === 'cluster-tls-users';
    const server = await ClusterServer.start({ secure, password: this.password, ...options });
    return this.#served(server);
  }

  #served(server) {
    this.#servers.push(server);
    return this.keep(server, () => server.stop());
  }

  async proxy(target, host) {
    const proxy = await Proxy.start(target, host);
    return this.keep(proxy, () => proxy.close());
  }

  /** A wall clock that is wrong by seconds, and can be set again. */
  clock(seconds) {
    const clock = new WrongClock(seconds);
    return this.keep(clock, () => clock.remove());
  }

  trafficProcess(options) {
    const child = new TrafficProcess(options);
    return this.keep(child, () => child.end());
  }

  /** Registers any other resource to be closed. */
  keep(thing, close) {
    this.#open.push(close);
    return thing;
  }

  async close() {
    this.delays.close();
    // Later resources depend on earlier ones.
    for (const close of this.#open.splice(0).reverse()) {
      try {
        await close();
      } catch (error) {
        console.error(`  ${error.message}`);
      }
    }
  }
}
