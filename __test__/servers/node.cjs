'use strict';
// One redis-server: started, killed and restarted on the same port, or frozen, with a Unix socket for commands without
// TLS and without redirects.

const { spawn } = require('node:child_process');
const { mkdirSync } = require('node:fs');
const { join } = require('node:path');

const running = new Set();
// The servers are killed when this process exits for any reason.
process.once('exit', () => running.forEach((child) => child.kill('SIGKILL')));

/** Far more than any reply takes, so that a busy machine is no failure. */
const ANSWER_MS = 30_000;

class Node {
  #child;
  #control;

  /** @param admin the credentials of the tests: `{ username, password }`, or nothing without a password */
  constructor({ port, folder, options, admin }) {
    Object.assign(this, { port, folder, options, admin });
    this.socket = join(folder, `${port}.sock`);
  }

  /** Resolves when it accepts connections. */
  async start() {
    // Its own data folder.
    const dir = join(this.folder, `${this.port}`);
    mkdirSync(dir, { recursive: true });
    const fixed = ['--port', this.port, '--bind', '127.0.0.1', '--unixsocket', this.socket, '--dir', dir];
    const args = [...fixed, '--save', '', ...this.options].map(String);
    const child = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#child = child;
    running.add(child);
    this.ended = new Promise((resolve) =>
      child.once('exit', () => {
        running.delete(child);
        resolve();
      }),
    );
    await ready(child);
    // A failed test stops no server: a server left behind must not keep the process alive.
    child.unref();
    child.stdout.unref();
  }

  /** Undefined before its first start. */
  get pid() {
    return this.#child?.pid;
  }

  /** Sends one command of the tests; a Redis error is an Error. */
  send(...command) {
    this.#control ??= this.#connected();
    return this.#control.call(...command.map(String));
  }

  /** As in a power cut. */
  async kill() {
    this.#forget();
    this.#child?.ref();
    this.#child?.kill('SIGKILL');
    await this.ended;
  }

  /** Stops the process; the kernel still accepts connections for it. */
  freeze() {
    this.#child.kill('SIGSTOP');
  }

  thaw() {
    this.#child.kill('SIGCONT');
  }

  #connected() {
    // Not at the top: the installing script is loaded together with this file.
    const Redis = require('ioredis').default;
    const redis = new Redis({
      path: this.socket,
      ...this.admin,
      commandTimeout: ANSWER_MS,
      // No retry that a test does not see.
      retryStrategy: null,
      maxRetriesPerRequest: 0,
      enableReadyCheck: false,
    });
    redis.on('error', () => {});
    redis.once('connect', () => redis.stream.unref());
    redis.once('end', () => {
      if (this.#control === redis) this.#control = undefined;
    });
    return redis;
  }

  #forget() {
    this.#control?.disconnect();
    this.#control = undefined;
  }
}

function ready(child) {
  return new Promise((resolve, reject) => {
    let printed = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      printed = (printed + text).slice(-4000);
      if (printed.includes('Ready to accept connections')) resolve();
    });
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`redis-server ended with ${code}:\n${printed}`)));
  });
}

module.exports = { Node };
