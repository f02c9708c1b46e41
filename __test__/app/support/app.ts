import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../support/redis';

/** The folder in which setup.mjs has put the applications. */
const APPS = process.env.RATE_LIMIT_APPS!;

/** A server starts and stops in seconds; a busy machine may take long. */
const START_TIMEOUT_MS = 120_000;
const END_TIMEOUT_MS = 60_000;

export type Bundler = 'turbopack' | 'webpack';
export const bundlers: readonly Bundler[] = ['turbopack', 'webpack'];

/** The output of a build. */
export interface Build {
  readonly printed: string;
  /** For one of the builds: the connections made to its Redis, and whether the server counts connections at all. */
  readonly connections?: number;
  readonly counted?: boolean;
}

export function buildOutput(bundler: Bundler): Build {
  return JSON.parse(readFileSync(join(APPS, 'builds.json'), 'utf8'))[bundler];
}

/** The folder of a built application. */
export function folderOf(bundler: Bundler): string {
  return join(APPS, bundler);
}

/** The application in its own process, with only the given environment. */
export interface App {
  readonly url: string;
  readonly pid: number;
  /** Its output so far. */
  output(): string;
  /** Posts to the chat as a creator does. */
  chat(creatorId: unknown, plan?: unknown, message?: unknown): Promise<Response>;
  stop(): Promise<void>;
}

export interface AppOptions {
  readonly bundler?: Bundler;
  readonly env?: Record<string, string>;
}

export async function startApp({ bundler = 'turbopack', env = {} }: AppOptions = {}): Promise<App> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const bin = join(APPS, 'bin');
  const child = spawn(join(bin, 'node'), ['server.js'], {
    cwd: folderOf(bundler),
    env: { PATH: bin, NODE_ENV: 'production', HOSTNAME: '127.0.0.1', PORT: `${port}`, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  // The server is killed when this process exits for any reason.
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (printed += text));
  const stop = async () => {
    await stopProcess(child);
    process.removeListener('exit', kill);
  };
  try {
    await untilReady(url, child);
  } catch (error) {
    await stop();
    throw new Error(`${(error as Error).message}:\n${printed}`, { cause: error });
  }
  return {
    url,
    pid: child.pid!,
    output: () => printed,
    chat: (creatorId, plan, message = 'Hello') => post(url, JSON.stringify({ creatorId, plan, message })),
    stop,
  };
}

/** Posts a body to the chat. */
export function post(url: string, body: string): Promise<Response> {
  const headers = { 'Content-Type': 'application/json' };
  return fetch(`${url}/api/ai/chat`, { method: 'POST', headers, body, signal: AbortSignal.timeout(60_000) });
}

async function untilReady(url: string, child: ChildProcess): Promise<void> {
  for (const until = Date.now() + START_TIMEOUT_MS; Date.now() < until; await sleep(50)) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error('the application ended');
    try {
      await (await fetch(url, { signal: AbortSignal.timeout(60_000) })).text();
      return;
    } catch {
      // Not listening yet.
    }
  }
  throw new Error('the application does not answer');
}

async function stopProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), END_TIMEOUT_MS);
  await exited;
  clearTimeout(timer);
  if (child.signalCode === 'SIGKILL') throw new Error(`the application did not end within ${END_TIMEOUT_MS} ms`);
}
