// Kills the suite's child processes when the suite ends, for any reason.

const kills = new Set();

/** @returns a function that unregisters the process after its end */
export function killOnExit(child) {
  const kill = () => child.kill('SIGKILL');
  kills.add(kill);
  return () => kills.delete(kill);
}

process.once('exit', () => kills.forEach((kill) => kill()));
// A signal ends a process without the exit event.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1));
