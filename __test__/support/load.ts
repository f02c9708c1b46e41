import { spawn } from 'node:child_process';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { join } from 'node:path';

/** The memory of a process, in bytes. */
export interface Held {
  readonly rss: number;
  readonly heapUsed: number;
}

/**
 * Runs a fixture in a separate process, so that no other work affects its memory and its event loop; returns its
 * report.
 */
export async function alone<T>(fixture: string, options: object): Promise<T> {
  const file = join(__dirname, '../fixtures/load', fixture);
  const own = Object.entries(process.env).filter(([name]) => !/REDIS|ELASTICACHE/.test(name));
  const child = spawn(process.execPath, ['--expose-gc', file, JSON.stringify(options)], {
    env: Object.fromEntries(own),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let out = '';
  child.stdout.on('data', (chunk) => (out += chunk));
  const code = await new Promise((resolve) => child.once('close', resolve));
  expect(code).toBe(0);
  return JSON.parse(out);
}

/** Runs two at a time, in order: one waits for Redis while the other settles promises. */
export class TwoAtATime {
  readonly #slots: Promise<unknown>[] = [Promise.resolve(), Promise.resolve()];

  run<T>(process: () => Promise<T>): Promise<T> {
    const report = this.#slots.shift()!.then(process);
    // Its test reports the failure.
    this.#slots.push(report.catch(() => {}));
    return report;
  }
}

/** A server that accepts and never answers. */
export async function blackHole(): Promise<{ readonly server: Server; readonly port: number }> {
  const server = createServer((socket) => socket.on('error', () => {}).resume());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, port: (server.address() as AddressInfo).port };
}

export function megabytes(bytes: number): number {
  return Math.round(bytes / 1e5) / 10;
}

/** Prints figures that go into the documentation. */
export function figures(title: string, values: Record<string, unknown>): void {
  const list = Object.entries(values).map(([name, value]) => `${name} ${JSON.stringify(value)}`);
  process.stderr.write(`      ${title}: ${list.join(', ')}\n`);
}
