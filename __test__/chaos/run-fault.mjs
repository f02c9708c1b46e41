// One fault, in a process of its own: what others do to their process at the same time is nothing to it. Prints as it goes on, and
// sends its row.

import { Context } from './context.mjs';
import { faults } from './faults/index.mjs';
import { lineOf } from './report.mjs';
import { now, within } from './time.mjs';

/** Many times what any fault takes, so that one that hangs ends. */
const FAULT_MS = 900_000;

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

process.once('message', async ({ id, options }) => {
  const row = await rowOf(
    faults.find((fault) => fault.id === id),
    options,
  );
  console.log(lineOf(row));
  process.send(row, () => process.disconnect());
});
// The suite ended: so does this.
process.once('disconnect', () => process.exit(0));
