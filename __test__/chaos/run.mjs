// npm run chaos: the limiter under every fault, in several processes against real servers, with the invariants over all
// decisions. About four minutes. F19 needs root (a mount namespace), F23 a C compiler.
//
//   --quick         one fault of each kind, in less than a minute; `npm test` runs it
//   --only=F9,F10   some of them
//   --flavour=cluster   the faults of clusters on a plain one, instead of one over TLS with users
//   --at-once=1     the number of concurrent faults
//   --no-build      the addon as it is

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { build } from '../../scripts/build.mjs';
import { install } from '../../scripts/install.mjs';
import { redisServer } from '../../scripts/redis-server.mjs';
import { addResults } from '../../scripts/test-results.mjs';
import { Failure, runIfMain } from '../../scripts/run.mjs';
import { faults } from './faults/index.mjs';
import { optionsOf } from './options.mjs';
import { summary, writeReport } from './report.mjs';
import { now } from './time.mjs';

const ROW = fileURLToPath(new URL('run-fault.mjs', import.meta.url));

/** Runs the faults and returns a row for each. A row without violations holds. */
export async function chaos(...args) {
  const { quick, flavour, atOnce, chosen: wanted, builds, command, out } = optionsOf(args);
  install();
  if (builds) build();
  redisServer();
  const chosen = faults.filter(wanted);
  const start = now();
  const rows = new Map();
  const waiting = [...chosen].sort((a, b) => (b.slow ?? 0) - (a.slow ?? 0));
  const next = async () => {
    for (let fault; (fault = waiting.shift());) {
      const { row, printed } = await shown(fault, { quick, flavour });
      rows.set(fault, row);
      console.log(`\n${rows.size}/${chosen.length} ${fault.id} ${fault.title}\n${printed}`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, next));
  const seconds = (now() - start) / 1000;
  const inOrder = chosen.map((fault) => rows.get(fault));
  console.log(`\n${summary(inOrder, seconds)}`);
  if (out !== undefined) writeReport(out, inOrder, { command, seconds });
  return inOrder;
}

/** The row of a fault, and its output. */
async function shown({ id, title }, options) {
  const start = now();
  // The child ends with this process, because its channel closes; so do the child's own children.
  const child = fork(ROW, { stdio: ['ignore', 'pipe', 'pipe', 'ipc'], serialization: 'advanced' });
  let [printed, row] = ['', undefined];
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => (printed += text));
  }
  child.once('message', (message) => (row = message));
  child.send({ id, options });
  const [code, signal] = await once(child, 'close');
  const ended = [];
  if (row === undefined) ended.push('its process sent no row');
  // It may crash after it has sent its row, too.
  if (code !== 0) ended.push(`its process ended with ${signal ?? code}`);
  row ??= { id, title, notes: [], violations: [], seconds: (now() - start) / 1000 };
  const violations = [...row.violations, ...ended];
  return {
    printed: [printed.trimEnd(), ...ended.map((text) => `  ! ${text}`)].join('\n'),
    row: { ...row, violations, holds: violations.length === 0 },
  };
}

/** Counts the rows as tests, with their times; one that does not hold has failed. */
export function countRows(rows) {
  const failed = rows.filter(({ holds }) => !holds);
  const timed = rows.map(({ id, title, seconds }) => ({ name: `${id} ${title}`, seconds }));
  addResults(rows.length - failed.length, failed.length, timed);
  if (failed.length > 0)
    throw new Failure(
      `${failed.length} of ${rows.length} faults do not hold: ${failed.map(({ id }) => id).join(', ')}`,
    );
}

await runIfMain(import.meta.url, async (...args) => countRows(await chaos(...args)));
