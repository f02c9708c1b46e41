// Starts other programs, in the repository's root folder, and ends this one without a stack trace when they fail.

import { spawn, spawnSync } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The root folder of the repository. */
export const root = fileURLToPath(new URL('..', import.meta.url));

/** An error that the user can correct: only its message is printed. */
export class Failure extends Error {}

// npm is a script under Windows, and Node starts scripts through a shell only.
const shell = process.platform === 'win32';

/** Runs a command with its output on this terminal; a Failure names it. No command asks for input. */
export function run(command, args, options = {}) {
  const stdio = options.stdio ?? ['ignore', 'inherit', 'inherit'];
  const result = spawnSync(command, args, { cwd: root, shell: shell && command === 'npm', ...options, stdio });
  if (result.error) throw new Failure(`cannot start ${command}: ${result.error.message}`);
  if (result.status !== 0) throw new Failure(`failed: ${[command, ...args].join(' ')}`);
}

/** The output of a command, or undefined if it cannot be started or fails. */
export function output(command, args, options = {}) {
  const result = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    shell: shell && command === 'npm',
    ...options,
  });
  return result.status === 0 ? result.stdout.trim() : undefined;
}

/** Runs a command, shows its output and resolves to its exit code and its text. */
export function tee(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, ...options, stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (chunk) => {
      text += chunk;
      process.stdout.write(chunk);
    });
    child.once('error', (error) => reject(new Failure(`cannot start ${command}: ${error.message}`)));
    child.once('close', (code) => resolve({ code, text }));
  });
}

/** Runs `main` if `url` is the script that node was started with; a Failure becomes one line and exit code 1. */
export async function runIfMain(url, main) {
  if (process.argv[1] === undefined || fileURLToPath(url) !== realpathSync(process.argv[1])) return;
  try {
    await main(...process.argv.slice(2));
  } catch (error) {
    console.error(error instanceof Failure ? `error: ${error.message}` : error);
    process.exitCode = 1;
  }
}
