// F22: processes and threads end with checks in flight, with a server that answers and with one that does not.

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { killOnExit } from '../kill-on-exit.mjs';
import { expiryViolations } from '../key-expiry.mjs';
import { secretLeaks } from '../secrets.mjs';
import { HANG_MS, now } from '../time.mjs';

const SCRIPT = fileURLToPath(new URL('../process/exit.cjs', import.meta.url));
/** `{ how: [code, output] }`, with a server that answers. */
const DUE = { exit: [7, ''], natural: [0, '500'], workers: [0, 'redis'] };

export default {
  id: 'F22',
  title: 'workers ended and processes exiting with checks in flight',
  quick: true,
  slow: 5,
  async run(context) {
    const server = await context.server();
    const proxy = await context.proxy(server);
    const [notes, violations] = [[], []];
    const [times, workers] = context.quick ? [2, 6] : [4, 20];
    for (const silent of [false, true]) {
      // A process that ends naturally waits for its deadlines, and no longer.
      proxy.set(silent ? 'no-reply' : 'pass');
      for (const [how, [code, output]] of Object.entries(DUE)) {
        const due = `${code} and "${silent && how === 'workers' ? 'local' : output}"`;
        const ends = await twoAtATime(times, () =>
          ended({ how, silent, workers, port: proxy.port, password: context.password }),
        );
        const wrong = ends.filter((end) => `${end.code} and "${end.output}"` !== due || end.errors !== '');
        for (const end of wrong.slice(0, 1)) {
          violations.push(
            `${how}, ${silent ? 'silent' : 'answering'}: ${end.code} and "${end.output}", due ${due}: ${end.errors.slice(0, 300)}`,
          );
        }
        violations.push(
          ...secretLeaks(
            context.password,
            ends.map(({ output, errors }) => [how, output + errors]),
          ),
        );
        const slowest = Math.round(Math.max(...ends.map(({ ms }) => ms)));
        const line = `${how}, the server ${silent ? 'silent' : 'answering'}: ${ends.length - wrong.length} of ${ends.length} clean, within ${slowest} ms`;
        notes.push(line);
        context.step(line);
      }
    }
    proxy.set('pass');
    violations.push(...(await expiryViolations(server, { exiting: { windowMs: 2000 } })).map((text) => `I9: ${text}`));
    return { notes, violations };
  },
};

/** Two at a time: the smallest machine has two cores. */
async function twoAtATime(times, run) {
  const results = [];
  for (let i = 0; i < times; i += 2) results.push(...(await Promise.all([run(), run()])));
  return results;
}

function ended(options) {
  const start = now();
  const child = spawn(process.execPath, [SCRIPT, JSON.stringify(options)], { stdio: ['ignore', 'pipe', 'pipe'] });
  const gone = killOnExit(child);
  const late = setTimeout(() => child.kill('SIGKILL'), HANG_MS);
  let [output, errors] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text) => (output += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (errors += text));
  return new Promise((resolve) => {
    child.once('close', (code, signal) => {
      clearTimeout(late);
      gone();
      resolve({ code: code ?? signal, output, errors, ms: now() - start });
    });
  });
}
