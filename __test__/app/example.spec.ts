// npm run example, until it serves: a build that is under way ends with it.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { root } from '../support/consumer';
import { freePort } from '../support/redis';
import { until } from './browser/operator';

/** A process, as Linux tells of it: its state and who started it; undefined where there is none. */
function processInfo(pid: number): { state: string; parent: number } | undefined {
  try {
    // Its name may hold anything, a parenthesis too.
    const [, state, parent] = /.*\) (\w) (\d+)/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))!;
    return { state: state!, parent: Number(parent) };
  } catch {
    return undefined;
  }
}

/** Not a zombie: the first process of a container may reap nobody. */
const runs = (pid: number) => /^[^Z]/.test(processInfo(pid)?.state ?? '');

function childOf(parent: number): number | undefined {
  const pids = readdirSync('/proc').map(Number).filter(Boolean);
  return pids.find((pid) => processInfo(pid)?.parent === parent && runs(pid));
}

test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('the build ends with it, by %s', async (signal) => {
  const script = spawn(process.execPath, ['scripts/example.mjs', '--no-build', `--port=${await freePort()}`], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(script, 'exit');
  let build: number | undefined;
  try {
    let printed = '';
    script.stdout.setEncoding('utf8').on('data', (text) => (printed += text));
    // What comes before it is a child, too.
    const begun = async () => printed.includes('Building the application') && (build = childOf(script.pid!));
    await until(begun, Boolean);
    script.kill(signal);
    expect(await ended).toEqual([null, signal]);
    // Not later, at the first word for which it finds nobody.
    expect(runs(build!)).toBe(false);
  } finally {
    for (const pid of [script.pid!, build]) if (pid !== undefined && runs(pid)) process.kill(pid, 'SIGKILL');
  }
});
