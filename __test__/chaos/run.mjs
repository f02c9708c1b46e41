// npm run chaos: the limiter under every fault, in several processes against real servers, and the invariants over all
// that it decided. About five minutes. F19 wants root (a mount namespace of its own), F23 a C compiler.
//
//   --quick         half of the faults, in a minute; `npm test` runs it
//   --only=F9,F10   some of them
//   --flavour=cluster   those of clusters on a plain one, instead of one over TLS with users
//   --no-build      the addon as it is

import { build } from '../../scripts/build.mjs';
import { install } from '../../scripts/install.mjs';
import { redisServer } from '../../scripts/redis-server.mjs';
import { Failure, asMain } from '../../scripts/run.mjs';
import { Context } from './context.mjs';
import { faults } from './faults/index.mjs';
import { optionsOf } from './options.mjs';
import { Machine, isOfTheMachine } from './machine.mjs';
import { kindOf, lineOf, summary, writeReport } from './report.mjs';
import { now, within } from './time.mjs';

const FAULT_MS = 120_000;
const ATTEMPTS = 3;

/** Runs the faults and returns a row for each. A row without violations holds. */
export async function chaos(...args) {
  const { quick, flavour, chosen: wanted, builds, command, out } = optionsOf(args);
  install();
  if (builds) build();
  redisServer();
  const chosen = faults.filter(wanted);
  const start = now();
  const rows = [];
  const machine = new Machine();
  for (const [i, fault] of chosen.entries()) {
    console.log(`\n${i + 1}/${chosen.length} ${fault.id} ${fault.title}`);
    const row = await judged(fault, { quick, flavour }, machine);
    rows.push(row);
    console.log(lineOf(row));
  }
  machine.close();
  const seconds = (now() - start) / 1000;
  console.log(`\n${summary(rows, seconds)}`);
  if (out !== undefined) writeReport(out, rows, { command, seconds });
  return rows;
}

/** The row of a fault. Where the machine stood still, and nothing but time is at stake, it is judged again, and says so. */
async function judged(fault, options, machine) {
  for (let attempt = 1; ; attempt++) {
    await machine.overslept();
    const row = await rowOf(fault, options);
    const oversleptMs = Math.round(await machine.overslept());
    const again = attempt < ATTEMPTS && isOfTheMachine({ ...row, kinds: row.violations.map(kindOf) }, oversleptMs);
    if (attempt > 1) row.notes.push(`judged ${attempt} times: the machine stood still before`);
    if (!again) return row;
    console.log(lineOf(row));
    console.log(`  the machine stood still for ${oversleptMs} ms: again`);
  }
}

async function rowOf({ id, title, run }, options) {
  const context = new Context(options);
  const start = now();
  let row;
  try {
    row = await within(FAULT_MS, title, run(context));
  } catch (error) {
    // What cannot be shown does not hold.
    row = { violations: [`not run to its end: ${error.stack}`], notes: [] };
  } finally {
    await context.close();
  }
  return { id, title, ...row, seconds: (now() - start) / 1000, holds: row.violations.length === 0 };
}

await asMain(import.meta.url, async (...args) => {
  const rows = await chaos(...args);
  const failed = rows.filter(({ holds }) => !holds);
  if (failed.length > 0)
    throw new Failure(
      `${failed.length} of ${rows.length} faults do not hold: ${failed.map(({ id }) => id).join(', ')}`,
    );
});
