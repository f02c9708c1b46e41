// When npm run example is ended before it serves, its build in progress ends, too.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { root } from '../support/consumer';
import { freePort } from '../support/redis';
import { until } from './browser/operator-page';

/** A process as /proc describes it: its state and its parent; undefined if there is none. */
function processInfo(pid: number): { state: string; parent: number } | undefined {
  try {
    // The name may contain any character, a parenthesis too.
    const [, state, parent] = /.*\) (\w) (\d+)/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))!;
    return { state: state!, parent: Number(parent) };
  } catch {
    return undefined;
  }
}

/** Not a zombie: the first process of a container may not reap its children. */
const runs = (pid: number) => /^[^Z]/.test(processInfo(pid)?.state ?? '');

function childOf(parent: number): number | undefined {
  const pids = readdirSync('/proc').map(Number).filter(Boolean);
  return pids.find((pid) => processInfo(pid)?.parent === parent && runs(pid));
}

test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('%s ends the build with it', async (signal) => {
  const script = spawn(process.execPath, ['scripts/example.mjs', '--no-build', `--port=${await freePort()}`], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(script, 'exit');
  let build: number | undefined;
  try {
    let printed = '';
    script.stdout.setEncoding('utf8').on('data', (text) => (printed += text));
    // Earlier commands are children, too.
    const begun = async () => printed.includes('Building the application') && (build = childOf(script.pid!));
    await until(begun, Boolean);
    script.kill(signal);
    expect(await ended).toEqual([null, signal]);
    // The build has ended already, not only when it next writes to the closed pipe.
    expect(runs(build!)).toBe(false);
  } finally {
    for (const pid of [script.pid!, build]) if (pid !== undefined && runs(pid)) process.kill(pid, 'SIGKILL');
  }
});
