// Runs the steps of a command such as npm test, two at a time, and stops at the first failure. The output of a step
// goes to a file of its own under target/steps/ and is shown if the step fails. The last line is the count of tests.

import { spawn } from 'node:child_process';
import { createWriteStream, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { root } from './run.mjs';

/** Builds use every core, most tests wait: a third step would only slow the first two down. */
const MAX_CONCURRENT_STEPS = 2;
const PROGRESS_MS = 15_000;
const SLOWEST_SHOWN = 10;
/** Lines shown of a failed step, and of the message of a failed test. */
const MAX_LOG_LINES = 300;
const MAX_MESSAGE_LINES = 30;

/**
 * Takes steps of `{ name, command, after }`. `command` also runs a step alone; `after` names the steps
 * that it needs. A step that counts tests does so through test-results.mjs.
 */
export async function runSteps(title, steps) {
  const run = new Run(title, steps);
  const progress = setInterval(() => run.progress(), PROGRESS_MS);
  try {
    await run.finished();
  } finally {
    clearInterval(progress);
  }
  run.summary();
}

class Run {
  #start = performance.now();
  #logs;
  #waiting;
  #running = new Map();
  #ended = [];
  #failed = [];
  #tests = { passed: 0, failed: 0, timed: [], failures: [], notes: [] };

  constructor(title, steps) {
    const names = steps.map(({ name }) => name);
    for (const { name, after = [] } of steps)
      for (const needed of after)
        if (!names.includes(needed)) throw new Error(`${name} needs ${needed}, which is no step of ${title}`);
    this.title = title;
    this.total = steps.length;
    this.#waiting = [...steps];
    this.#logs = join(root, 'target', 'steps', title.replaceAll(/\W+/g, '-'));
    rmSync(this.#logs, { recursive: true, force: true });
    mkdirSync(this.#logs, { recursive: true });
  }

  async finished() {
    // A signal to this process ends its steps, and the programs that they have started.
    const end = (signal) => {
      for (const { child } of this.#running.values()) kill(child, signal);
      process.exit(1);
    };
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, end);
    for (;;) {
      while (this.#running.size < MAX_CONCURRENT_STEPS && this.#startNext());
      if (this.#running.size === 0) break;
      await Promise.race([...this.#running.values()].map(({ done }) => done));
    }
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.removeListener(signal, end);
    if (this.#failed.length === 0 && this.#waiting.length > 0)
      throw new Error(`${this.#waiting.map(({ name }) => name)} need each other`);
  }

  /** Starts the first step whose dependencies are done; returns whether there was one. */
  #startNext() {
    if (this.#failed.length > 0) return false;
    const done = new Set(this.#ended.map(({ name }) => name));
    const at = this.#waiting.findIndex(({ after = [] }) => after.every((name) => done.has(name)));
    if (at < 0) return false;
    const [step] = this.#waiting.splice(at, 1);
    const file = join(this.#logs, step.name.replaceAll(/\W+/g, '-'));
    const state = { step, log: `${file}.log`, results: `${file}.json`, start: performance.now(), last: '' };
    this.#running.set(step.name, state);
    console.log(`${this.#clock()} ${step.name}: ${step.command}`);
    state.done = this.#execute(state).then((failure) => this.#end(state, failure));
    return true;
  }

  /** Resolves to the reason of a failure, or to undefined. */
  #execute(state) {
    const [program, ...args] = state.step.command.split(' ');
    const log = createWriteStream(state.log);
    state.child = spawn(program, args, {
      cwd: root,
      env: { ...process.env, TEST_RESULTS: state.results },
      stdio: ['ignore', 'pipe', 'pipe'],
      // npm is a script under Windows.
      shell: process.platform === 'win32',
      // The step gets its own process group, which kill() signals as a whole.
      detached: process.platform !== 'win32',
    });
    for (const stream of [state.child.stdout, state.child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        log.write(text);
        state.last = text.trimEnd().split('\n').at(-1).trim() || state.last;
      });
    }
    return new Promise((resolve) => {
      const ended = (failure) => log.end(() => resolve(failure));
      state.child.once('error', ({ message }) => ended(`cannot be started: ${message}`));
      state.child.once('close', (code, signal) => ended(code === 0 ? undefined : `ended with ${signal ?? code}`));
    });
  }

  #end(state, failure) {
    const { step, log, results, start } = state;
    const seconds = (performance.now() - start) / 1000;
    this.#running.delete(step.name);
    const { passed, failed, tests, failures, notes } = existsSync(results)
      ? JSON.parse(readFileSync(results, 'utf8'))
      : { passed: 0, failed: 0, tests: [], failures: [], notes: [] };
    this.#tests.passed += passed;
    // A step without tests, or a crashed runner, counts as one failure: "0 failed" means success only.
    this.#tests.failed += failure && failed === 0 ? 1 : failed;
    this.#tests.timed.push(...tests.map((test) => ({ ...test, step: step.name })));
    this.#tests.failures.push(...failures.map((test) => failureText(step.name, test)));
    this.#tests.notes.push(...notes.map((text) => `${step.name}: ${text}`));
    const counted = passed + failed > 0 ? `, ${passed} passed, ${failed} failed` : '';
    if (failure === undefined && failed === 0) {
      this.#ended.push({ name: step.name, seconds });
      console.log(`${this.#clock()} ${step.name} done in ${seconds.toFixed(1)} s${counted}`);
      return;
    }
    this.#failed.push(step);
    const lines = readFileSync(log, 'utf8').trimEnd().split('\n');
    console.log(`\n${lines.slice(-MAX_LOG_LINES).join('\n')}\n`);
    console.log(
      `${this.#clock()} ${step.name} failed: ${failure ?? 'a test failed'}, after ${seconds.toFixed(1)} s${counted}`,
    );
    console.log(`All that it printed: ${relative(root, log)}. To run it alone: ${step.command}`);
    for (const other of this.#running.keys()) console.log(`Waiting for ${other}, which is running`);
  }

  /** The running steps, with the last line of each. */
  progress() {
    const ended = `${this.#ended.length} of ${this.total}`;
    const lines = [...this.#running.values()].map(({ step, last }) => `${step.name}: ${last}`.slice(0, 110));
    console.log(`${this.#clock()} ${ended} done; ${lines.join(`\n${' '.repeat(8)}`)}`);
  }

  summary() {
    const slowest = (list) => list.sort((a, b) => b.seconds - a.seconds).slice(0, SLOWEST_SHOWN);
    const table = (title, list) => {
      if (list.length > 0) console.log(`\n${title}`);
      for (const { seconds, name, step } of list)
        console.log(`${seconds.toFixed(1).padStart(8)} s  ${step === undefined ? name : `${step}: ${name}`}`);
    };
    table('The slowest steps', slowest(this.#ended));
    table('The slowest tests', slowest(this.#tests.timed));
    if (this.#tests.notes.length > 0) console.log(`\n${this.#tests.notes.join('\n')}`);
    // Repeated at the end: the other step, which continued, may have printed much since.
    if (this.#tests.failures.length > 0) console.log(`\n${this.#tests.failures.join('\n\n')}`);
    const names = this.#failed.map(({ name }) => name).join(', ');
    console.log(`\n${this.title} ${names ? `failed (${names}) after` : 'passed in'} ${this.#clock().trim()}`);
    console.log(`${this.#tests.passed} passed, ${this.#tests.failed} failed`);
    // No further line: the count is the last.
    if (names) process.exitCode = 1;
  }

  /** Minutes and seconds since the start. */
  #clock() {
    const seconds = Math.floor((performance.now() - this.#start) / 1000);
    return `${Math.floor(seconds / 60)}:${`${seconds % 60}`.padStart(2, '0')}`.padStart(6);
  }
}

function failureText(step, { name, message }) {
  const lines = message.trim().split('\n').slice(0, MAX_MESSAGE_LINES);
  return `Failed: ${step}: ${name}\n${lines.join('\n')}`;
}

function kill(child, signal) {
  try {
    if (process.platform === 'win32') child.kill(signal);
    else process.kill(-child.pid, signal);
  } catch (error) {
    // The process has already ended.
    if (error.code !== 'ESRCH') throw error;
  }
}
