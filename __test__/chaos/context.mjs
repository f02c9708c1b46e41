// What a fault is given, and what is taken away when it is over, however it ended: servers, proxies, processes.

import { TrafficProcess } from './traffic-process.mjs';
import { ClusterServer } from './cluster-server.mjs';
import { Proxy } from './proxy.mjs';
import { canary } from './secrets.mjs';
import { RedisServer } from './servers.mjs';
import { SchedulingDelays } from './scheduling-delays.mjs';
import { WrongClock } from './wrong-clock.mjs';

export class Context {
  /** Another one each fault; see secrets.mjs. */
  password = canary();
  /** See scheduling-delays.mjs. */
  delays = new SchedulingDelays(() => this.#servers.flatMap(({ pids }) => pids));
  #servers = [];
  #open = [];

  /** @param quick whether only the shorter half of everything is wanted
   *  @param flavour which cluster the faults of clusters are shown on: see options.mjs */
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

  /** A cluster of the flavour; the options are those of servers/cluster.cjs. */
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

  /** A wall clock that is off by seconds, and may be set again. */
  clock(seconds) {
    const clock = new WrongClock(seconds);
    return this.keep(clock, () => clock.remove());
  }

  trafficProcess(options) {
    const child = new TrafficProcess(options);
    return this.keep(child, () => child.end());
  }

  /** Anything else that has to be taken away. */
  keep(thing, close) {
    this.#open.push(close);
    return thing;
  }

  async close() {
    this.delays.close();
    // What depends on others was opened after them.
    for (const close of this.#open.splice(0).reverse()) {
      try {
        await close();
      } catch (error) {
        console.error(`  ${error.message}`);
      }
    }
  }
}
