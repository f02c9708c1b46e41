import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

// docs/failure-modes.md describes the faults that `npm run chaos` provokes, and leaves the figures to its report.

const ROOT = join(__dirname, '..');
const GUIDE = readFileSync(join(ROOT, 'docs/failure-modes.md'), 'utf8');
const REPORT = '__test__/chaos/results/README.md';

/** Of the checker and of the control: no faults of anything that a user runs. */
const CONTROLS = ['S', 'C'];

const script = `
  import { faults } from './__test__/chaos/faults/index.mjs';
  console.log(JSON.stringify(faults.map(({ id }) => id)));`;
const provoked: string[] = JSON.parse(
  execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd: ROOT, encoding: 'utf8' }),
);

test('every fault that chaos provokes has a row, and no other', () => {
  expect(provoked.length).toBeGreaterThan(40);
  const described = [...GUIDE.matchAll(/^\| (F\w+) \|/gm)].map((row) => row[1]!);
  expect([...new Set(described)].sort()).toEqual(provoked.filter((id) => !CONTROLS.includes(id)).sort());
});

test('every fault has a row in the report that the guide leaves the figures to', () => {
  expect(GUIDE).toContain(`(../${REPORT})`);
  const report = readFileSync(join(ROOT, REPORT), 'utf8');
  const reported = [...report.matchAll(/^\| ([A-Z]\w*) .*\|$/gm)].map((row) => row[1]!);
  expect(reported).toEqual(expect.arrayContaining(provoked));
});
