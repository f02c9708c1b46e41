'use strict';
// One redis-server over TLS alone, with users: the default user is off. It has the same methods as a cluster.

const { mkdtempSync, rmSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { Node } = require('./node.cjs');
const { freePorts, isTaken } = require('./ports.cjs');
const { certificate: localhost, tlsOptions } = require('./tls.cjs');
const { ADMIN, usersIn } = require('./users.cjs');

const ATTEMPTS = 5;

class Single {
  admin = ADMIN;

  /** @param options as of a cluster; see cluster.cjs */
  static async start({ port, ...options }) {
    for (let attempt = 1; ; attempt++) {
      const single = new Single(options);
      single.ports = port === undefined ? await freePorts(1) : [port];
      try {
        await single.#start(options);
        return single;
      } catch (error) {
        await single.stop();
        if (port !== undefined || attempt === ATTEMPTS || !isTaken(error)) throw error;
      }
    }
  }

  constructor({ username, password, certificate = localhost }) {
    Object.assign(this, { username, password, certificate });
    this.folder = mkdtempSync(join(tmpdir(), 'rate-limit-single-'));
  }

  async #start({ options = [] }) {
    const [port] = this.ports;
    const { folder, admin, certificate } = this;
    const access = usersIn(folder, { username: this.username, password: this.password });
    this.nodes = [
      new Node({ port, folder, options: [...tlsOptions(port, certificate), ...access, ...options], admin }),
    ];
    await this.nodes[0].start();
  }

  get seed() {
    return this.ports[0];
  }

  node() {
    return this.nodes[0];
  }

  send(_, ...command) {
    return this.nodes[0].send(...command);
  }

  async primaries() {
    return this.ports;
  }

  async stop() {
    await this.nodes[0].kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

module.exports = { Single };
