// The servers of one measurement, whose counters are added up: a Redis, or the nodes of a cluster.

import { ControlConnection } from './control-connection.mjs';

export class Servers {
  static async connect(ports) {
    return new Servers(await Promise.all(ports.map((port) => ControlConnection.connect(port))));
  }

  constructor(controls) {
    this.controls = controls;
  }

  async flush() {
    await this.#all((control) => control.send('FLUSHALL', 'SYNC'));
  }

  /** CPU seconds of all servers. */
  async cpuSeconds() {
    return sum(await this.#all((control) => control.cpuSeconds()));
  }

  /** The statistics of EVALSHA, `{ calls, micros }`, added up over all servers. */
  async scripts() {
    const all = await this.#all((control) => control.scripts());
    return { calls: sum(all.map(({ calls }) => calls)), micros: sum(all.map(({ micros }) => micros)) };
  }

  close() {
    this.controls.forEach((control) => control.close());
  }

  #all(ask) {
    return Promise.all(this.controls.map(ask));
  }
}

function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}
