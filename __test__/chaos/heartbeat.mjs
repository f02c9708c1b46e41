// When a node of a cluster, or the machine under it, did not even answer the suite: who asked it then may not have been
// answered either, whatever the addon does.

import { now, sleep } from './time.mjs';

const EVERY_MS = 20;
/** What a connection has for a sign of life, before another one is made. */
const SILENT_MS = 50;

export class Heartbeat {
  /** `{ port, begin, end }` of each, in no order. */
  silences = [];
  #over = false;

  constructor(cluster) {
    for (const port of cluster.ports) void this.#ask(cluster, port);
  }

  stop() {
    this.#over = true;
  }

  /** For how long the node that was silent longest was so, in a stretch. */
  within(from, to) {
    const silent = new Map();
    for (const { port, begin, end } of this.silences) {
      if (begin < to && end > from)
        silent.set(port, (silent.get(port) ?? 0) + Math.min(to, end) - Math.max(from, begin));
    }
    return Math.max(0, ...silent.values());
  }

  async #ask(cluster, port) {
    for (; !this.#over; await sleep(EVERY_MS)) {
      const at = now();
      const meant = () => cluster.speaking().includes(port);
      if (!meant()) continue;
      const answered = await cluster.send(port, 'PING').then(
        () => true,
        () => false,
      );
      if (answered && meant() && now() - at > SILENT_MS) this.silences.push({ port, begin: at, end: now() });
    }
  }
}
