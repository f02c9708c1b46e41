// Processes with traffic: each is started, sends checks on command and reports its decisions.

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { killOnExit } from './kill-on-exit.mjs';
import { HANG_MS, within } from './time.mjs';

const TRAFFIC = fileURLToPath(new URL('process/traffic.cjs', import.meta.url));

export class TrafficProcess {
  /** Its whole output. */
  printed = '';
  progress = { at: 0, calls: 0, settled: 0, latest: { redis: {}, other: {}, atOnce: {}, codes: {} }, oldest: 0 };
  #child;
  #waiting = new Map();
  #number = 0;

  /**
   * @param env in addition to the environment of this process
   * @param inside the command that starts node, such as `['unshare', '--mount']`
   */
  constructor({ env = {}, inside = [] } = {}) {
    const [program, ...args] = [...inside, process.execPath, '--expose-gc', TRAFFIC];
    // Without the Redis variables of this environment: the limiters get their server by options.
    const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/REDIS|ELASTICACHE/.test(name)));
    this.#child = spawn(program, args, {
      env: { ...clean, ...env },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      serialization: 'advanced',
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => (this.printed += text));
    }
    this.#child.on('message', (message) => this.#onMessage(message));
    const ended = killOnExit(this.#child);
    this.ended = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => {
        ended();
        for (const { reject } of this.#waiting.values()) {
          reject(new Error(`the process ended with ${code ?? signal}: ${this.printed.slice(-2000)}`));
        }
        this.#waiting.clear();
        resolve(code ?? signal);
      });
    });
  }

  /** Sends one of the commands in traffic.cjs and resolves to its result. */
  ask(command, argument, ms = HANG_MS) {
    const number = this.#number++;
    const answer = new Promise((resolve, reject) => this.#waiting.set(number, { resolve, reject }));
    this.#child.send({ number, command, argument });
    return within(ms, `${command} in a process`, answer);
  }

  /** Stops the process, as a platform freezes one between requests. */
  freeze() {
    this.#child.kill('SIGSTOP');
  }

  thaw() {
    this.#child.kill('SIGCONT');
  }

  async end() {
    this.thaw();
    if (this.#child.connected) this.#child.disconnect();
    try {
      return await within(HANG_MS, 'the end of a process', this.ended);
    } finally {
      this.#child.kill('SIGKILL');
    }
  }

  #onMessage({ number, result, error, progress }) {
    if (progress) {
      this.progress = progress;
      return;
    }
    const waiting = this.#waiting.get(number);
    this.#waiting.delete(number);
    if (error === undefined) waiting?.resolve(result);
    else waiting?.reject(new Error(error));
  }
}
