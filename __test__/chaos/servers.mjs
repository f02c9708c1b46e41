// Real redis-servers on free loopback ports, each with a password: killed, stopped, restarted, replicated, and with a
// jumping clock.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ControlConnection } from '../../bench/control-connection.mjs';
import servers from '../servers/index.cjs';
import { killOnExit } from './kill-on-exit.mjs';
import { HANG_MS, eventually, until, within } from './time.mjs';

const { freePorts, isTaken } = servers;

const ATTEMPTS = 5;

export class RedisServer {
  #child;
  #control;
  #options;
  #printed = '';

  /**
   * @param options of redis-server, such as `['--appendonly', 'yes']`
   * @param clock its own wrong clock
   */
  static async start({ password, options = [], host = '127.0.0.1', port, clock }) {
    for (let attempt = 1; ; attempt++) {
      const server = new RedisServer({ password, options, host, port: port ?? (await freePort(host)), clock });
      try {
        await server.restart();
        return server;
      } catch (error) {
        await server.stop();
        if (port !== undefined || attempt === ATTEMPTS || !isTaken(error)) throw error;
      }
    }
  }

  constructor({ password, options, host, port, clock }) {
    Object.assign(this, { password, host, port, clock });
    this.dir = mkdtempSync(join(tmpdir(), 'rate-limit-chaos-'));
    this.#options = options;
  }

  /** Its process, while it runs. */
  get pids() {
    return this.#child.exitCode === null && this.#child.signalCode === null ? [this.#child.pid] : [];
  }

  /**
   * Starts it again on the same port with the same data; resolves when it answers, or with `loading` when it listens.
   */
  async restart({ options = [], loading = false } = {}) {
    const fixed = ['--port', this.port, '--bind', this.host, '--dir', this.dir, '--save', '', '--loglevel', 'warning'];
    // A replica need not wait for other replicas.
    fixed.push('--repl-diskless-sync-delay', 0);
    const secret = ['--requirepass', this.password, '--masterauth', this.password];
    const args = [...fixed, ...secret, ...this.#options, ...options].map(String);
    this.#child = spawn('redis-server', args, {
      env: { ...process.env, ...this.clock?.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => (this.#printed = (this.#printed + text).slice(-4000)));
    }
    this.#child.once('exit', killOnExit(this.#child));
    const answers = async () => {
      if (this.#child.exitCode !== null) throw new Error(`redis-server ended:\n${this.#printed}`);
      const said = await this.send('PING').catch((error) => error.message);
      return said === 'PONG' || (loading && said.startsWith('LOADING'));
    };
    if (!(await until(HANG_MS, answers, 5))) throw new Error(`redis-server does not answer:\n${this.#printed}`);
  }

  /** Sends one command on the suite's own connection. */
  async send(...command) {
    const control = await this.#connected();
    try {
      return await within(HANG_MS, `${command[0]} on the server`, control.send(...command));
    } catch (error) {
      // A Redis error starts with its code; after any other error the connection is unusable.
      if (!/^[A-Z]+ /.test(error.message)) this.#forget();
      throw error;
    }
  }

  /** A new connection, for blocking commands. */
  async connect() {
    const control = await within(
      HANG_MS,
      'a connection to the server',
      ControlConnection.connect(this.port, this.host),
    );
    await within(HANG_MS, 'AUTH', control.send('AUTH', this.password));
    return control;
  }

  /** A section of INFO as an object of strings. */
  async info(section) {
    const lines = (await this.send('INFO', section)).split('\r\n').filter((line) => line.includes(':'));
    return Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]),
    );
  }

  config(name, value) {
    return this.send('CONFIG', 'SET', name, value);
  }

  /** Closes all connections but those of the suite. */
  async killClients() {
    await this.send('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  }

  /** As in a power cut: unwritten data is lost. */
  async kill() {
    this.#forget();
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await within(HANG_MS, 'the end of the server', gone);
  }

  /** As in an orderly restart: all data is on disk. */
  async shutDown() {
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.send('SHUTDOWN', 'SAVE').catch(() => {});
    await within(HANG_MS, 'the end of the server', gone);
    this.#forget();
  }

  /** Stops the process; the kernel still accepts connections for it. */
  freeze() {
    this.#child.kill('SIGSTOP');
  }

  thaw() {
    this.#child.kill('SIGCONT');
  }

  async stop() {
    if (this.#child?.exitCode === null && this.#child.signalCode === null) await this.kill();
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** One shared connection, replaced after its end. */
  #connected() {
    const again = () => this.connect();
    this.#control = this.#control?.then((control) => (control.closed ? again() : control), again) ?? again();
    return this.#control;
  }

  #forget() {
    this.#control?.then(
      (control) => control.close(),
      () => {},
    );
    this.#control = undefined;
  }
}

/** Waits until the replica has every acknowledged write of the primary. */
export async function inSync(primary, replica) {
  await eventually('the replica catches up', async () => {
    const [from, to] = [await primary.info('replication'), await replica.info('replication')];
    return to.master_link_status === 'up' && from.master_repl_offset === to.slave_repl_offset;
  });
}

/** A closed port. */
export async function freePort(host) {
  const [port] = await freePorts(1, host);
  return port;
}
