'use strict';
// Ends with checks in flight, as its argument says:
//   exit      by process.exit, with code 7
//   natural   by having no work left
//   workers   so many worker threads are terminated, one after the other; then the main thread makes a check
//   worker    is one of those threads

const { workerData, isMainThread, Worker, parentPort } = require('node:worker_threads');
const { RateLimiter } = require('../../..');

const { how, silent, workers, port, password } = isMainThread ? JSON.parse(process.argv[2]) : workerData;

const limiter = new RateLimiter({
  name: 'exiting',
  limit: 20,
  windowMs: 2000,
  // An anomaly without a listener is logged, and this process's output is judged.
  anomaly: false,
  // A server that answers decides, however busy the machine is; with a silent one the deadline is awaited.
  timeoutMs: silent ? 250 : 20_000,
  redis: { host: '127.0.0.1', port, password },
});

function ask(count) {
  return Promise.all(Array.from({ length: count }, (_, i) => limiter.limit(i % 50)));
}

const ends = {
  exit() {
    void ask(500);
    setImmediate(() => process.exit(7));
  },

  async natural() {
    const answers = await ask(500);
    process.stdout.write(`${answers.length}`);
  },

  async workers() {
    for (let i = 0; i < workers; i++) {
      const worker = new Worker(__filename, { workerData: { how: 'worker', silent, port, password } });
      await new Promise((resolve) => worker.once('message', resolve));
      // At some moment between the first answers and the last.
      await new Promise((resolve) => setTimeout(resolve, i % 5));
      await worker.terminate();
    }
    const { source } = await limiter.limit('after');
    process.stdout.write(source);
  },

  async worker() {
    parentPort.postMessage('asking');
    for (;;) await ask(200);
  },
};

ends[how]();
