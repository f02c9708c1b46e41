// npm run example, until it serves: what it has started ends with it.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { root } from '../support/consumer';
import { until } from '../support/failures/scene';
import { freePort } from '../support/redis';

const ps = (...options: string[]) => spawnSync('ps', options, { encoding: 'utf8' }).stdout.trim();

/** The processes that `pid` has started, and those that they have. */
function descendantsOf(pid: number): number[] {
  const rows = ps('-A', '-o', 'pid=,ppid=').split('\n');
  const pairs = rows.map((row) => row.trim().split(/\s+/).map(Number) as [number, number]);
  const childrenOf = (parent: number): number[] =>
    pairs.filter(([, of]) => of === parent).flatMap(([child]) => [child, ...childrenOf(child)]);
  return childrenOf(pid);
}

/** One that has ended and of which nobody takes note, as the first process of a container may not, does not. */
const runs = (pid: number) => /^[^Z]/.test(ps('-o', 'stat=', '-p', `${pid}`));

test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('a build ends with it, by %s', async (signal) => {
  const script = spawn(process.execPath, ['scripts/example.mjs', '--no-build', `--port=${await freePort()}`], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(script, 'exit');
  let build: number[] = [];
  try {
    let printed = '';
    script.stdout.setEncoding('utf8').on('data', (text) => (printed += text));
    // What comes before it is a child, too.
    await until(() => printed.includes('Building the application'));
    await until(() => (build = descendantsOf(script.pid!).filter(runs)).length > 0);
    script.kill(signal);
    expect(await ended).toEqual([null, signal]);
    // Not later, at the first word for which it finds nobody; what it has started itself may take that long to notice.
    expect(runs(build[0]!)).toBe(false);
    await until(() => !build.some(runs));
  } finally {
    for (const pid of [script.pid!, ...build].filter(runs)) process.kill(pid, 'SIGKILL');
  }
});
