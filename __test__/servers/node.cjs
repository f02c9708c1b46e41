'use strict';
// One redis-server: started, killed and started again on the same port, frozen, and asked on a socket where neither TLS nor
// redirections are.

const { spawn } = require('node:child_process');
const { mkdirSync } = require('node:fs');
const { join } = require('node:path');

const running = new Set();
// Whatever ends this process, the servers go with it.
process.once('exit', () => running.forEach((child) => child.kill('SIGKILL')));

/** Far more than any answer takes, so that a busy machine is no failure. */
const ANSWER_MS = 30_000;

class Node {
  #child;
  #control;

  /** @param admin who the tests are there: `{ username, password }`, or nothing where there is no password */
  constructor({ port, folder, options, admin }) {
    Object.assign(this, { port, folder, options, admin });
    this.socket = join(folder, `${port}.sock`);
  }

  /** Resolves when it takes connections. */
  async start() {
    // What it keeps on disk is no other node's.
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
    // A test that fails stops nothing: what it has left behind must not keep it from ending.
    child.unref();
    child.stdout.unref();
  }

  /** Undefined before its first start. */
  get pid() {
    return this.#child?.pid;
  }

  /** One command of the tests' own; an error of Redis is an Error. */
  send(...command) {
    this.#control ??= this.#connected();
    return this.#control.call(...command.map(String));
  }

  /** As a power cut. */
  async kill() {
    this.#forget();
    this.#child?.ref();
    this.#child?.kill('SIGKILL');
    await this.ended;
  }

  /** The process stands still; the kernel goes on accepting for it. */
  freeze() {
    this.#child.kill('SIGSTOP');
  }

  thaw() {
    this.#child.kill('SIGCONT');
  }

  #connected() {
    // Here and not above: whoever installs it is loaded together with this file.
    const Redis = require('ioredis').default;
    const redis = new Redis({
      path: this.socket,
      ...this.admin,
      commandTimeout: ANSWER_MS,
      // Nothing is tried again behind the back of a test.
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
