// Whatever ends the suite, what it started goes with it.

const kills = new Set();

/** @returns what takes the process off the list, when it has ended */
export function killOnExit(child) {
  const kill = () => child.kill('SIGKILL');
  kills.add(kill);
  return () => kills.delete(kill);
}

process.once('exit', () => kills.forEach((kill) => kill()));
// A signal ends a process without that event.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1));
