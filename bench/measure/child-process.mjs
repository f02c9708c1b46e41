// Runs a measurement in a child process.

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Failure } from '../../scripts/run.mjs';

const child = fileURLToPath(new URL('child.mjs', import.meta.url));

/** A measurement that takes longer than this, with any contender, hangs. */
const TIMEOUT_MS = 300_000;

/** Variables that a child must not inherit: the job contains the address of Redis; logs and tracing are disabled. */
const EXCLUDED_VARIABLES = /^(ELASTICACHE|REDIS|UPSTASH|NEXT|NODE)_|^DEBUG$/;
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !EXCLUDED_VARIABLES.test(name)));

/** Runs `<kind>.mjs` of this folder in a child process, and resolves to the figures that it measured. */
export function measureInChild(kind, job) {
  return new Promise((resolve, reject) => {
    const started = fork(child, [JSON.stringify({ kind, ...job })], { env, timeout: TIMEOUT_MS });
    const name = `${kind} of ${job.contender.label}`;
    started.once('message', ({ figures, error }) =>
      error === undefined ? resolve(figures) : reject(new Failure(`${name}: ${error}`)),
    );
    started.once('error', (error) => reject(new Failure(`${name}: ${error.message}`)));
    started.once('exit', (code, signal) => reject(new Failure(`${name} ended with ${signal ?? code}`)));
  });
}
