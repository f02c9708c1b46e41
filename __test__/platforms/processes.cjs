'use strict';
// Starts other processes and threads of this Node.js that use the package.

const { spawn } = require('node:child_process');
const { Worker } = require('node:worker_threads');
const { patient } = require('./stores.cjs');

const NODE = process.env.CHECK_NODE ? JSON.parse(process.env.CHECK_NODE) : [process.execPath];

// Far more than the slowest machine needs: it turns an endless process into a failure.
const HANGS_MS = 300_000;

/** Runs a script, with the package as `limits` and the limiter options as `options`; returns how it ended. */
function runScript(script, store) {
  const [command, ...args] = NODE;
  const child = spawn(command, [...args, '-e', `${head(store)}\n${script}`], { cwd: __dirname, timeout: HANGS_MS });
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk) => (out += chunk));
  child.stderr.on('data', (chunk) => (err += chunk));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal, out: out.trim(), err: err.trim() }));
  });
}

/** A thread with a script, as above; it has `parentPort` too. */
function startWorker(script, store) {
  return new Worker(`const { parentPort } = require('node:worker_threads');\n${head(store)}\n${script}`, {
    eval: true,
  });
}

/** The next message of a thread; an error if it fails or ends without one. */
function nextMessage(worker) {
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', (code) => reject(new Error(`the thread ended with ${code} and said nothing`)));
  });
}

/** The exit code of a thread that ends by itself. */
function exitOf(worker) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Error('the thread does not end'));
      worker.terminate();
    }, HANGS_MS);
    worker.once('exit', (code) => {
      clearTimeout(timer);
      resolve(code);
    });
  });
}

function head(store) {
  const path = JSON.stringify(require.resolve('@huntaze/rate-limit'));
  return `const limits = require(${path});\nconst options = ${JSON.stringify(patient(store))};`;
}

module.exports = { exitOf, nextMessage, runScript, startWorker };
