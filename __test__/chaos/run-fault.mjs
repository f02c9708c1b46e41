// Runs one fault in its own process, so that concurrent faults do not affect its measurements. Prints its progress, and
// sends its row.

import { Context } from './context.mjs';
import { faults } from './faults/index.mjs';
import { lineOf } from './report.mjs';
import { now, within } from './time.mjs';

/** Far more than any fault takes, so that a hanging one ends. */
const FAULT_MS = 900_000;

async function rowOf({ id, title, run }, options) {
  const context = new Context(options);
  const start = now();
  let row;
  try {
    row = await within(FAULT_MS, title, run(context));
  } catch (error) {
    // A fault that cannot be shown does not hold.
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
// The suite ended: this process ends, too.
process.once('disconnect', () => process.exit(0));
