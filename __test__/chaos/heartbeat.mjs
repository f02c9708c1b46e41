// The times at which a cluster node, or the machine under it, did not answer the suite: a limiter's request at that
// time may have had no reply either.

import { now, sleep } from './time.mjs';

const EVERY_MS = 20;
/** A connection that is silent for so long is replaced. */
const SILENT_MS = 50;

export class Heartbeat {
  #silences = new Map();
  #over = false;

  constructor(cluster) {
    for (const port of cluster.ports) void this.#ask(cluster, port);
  }

  stop() {
    this.#over = true;
  }

  /** The silences of each node as waits; see scheduling-delays.mjs. */
  get silences() {
    return [...this.#silences.values()];
  }

  async #ask(cluster, port) {
    const silences = [];
    this.#silences.set(port, silences);
    for (; !this.#over; await sleep(EVERY_MS)) {
      const at = now();
      const meant = () => cluster.reachable().includes(port);
      if (!meant()) continue;
      const answered = await cluster.send(port, 'PING').then(
        () => true,
        () => false,
      );
      const ms = now() - at;
      if (answered && meant() && ms > SILENT_MS) silences.push([at, at + ms, ms]);
    }
  }
}
