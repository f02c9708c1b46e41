import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const { troubleshootingFor, CODES } = require('../../lib/diagnostics/troubleshooting.js');

const read = (file: string) => readFileSync(join(__dirname, '../../docs', file), 'utf8');

/** The codes of reports; UNKNOWN is that of a test which itself failed. */
const REPORTED: string[] = [...CODES, 'UNKNOWN'];

/** The codes at the start of table rows, with duplicates. */
function rows(text: string): string[] {
  return [...text.matchAll(/^\| `([A-Z][A-Z_]+)` \|/gm)].map((row) => row[1]!).sort();
}

test('docs/deployment.md has one row for each code, and no other', () => {
  expect(rows(read('deployment.md'))).toEqual([...REPORTED].sort());
});

test('types/connection.d.ts names the codes that are not the store’s', () => {
  const types = readFileSync(join(__dirname, '../../types/connection.d.ts'), 'utf8');
  const [, comment] = /\/\*\*((?:(?!\*\/)[^])*)\*\/\s*readonly code: string;/.exec(types)!;
  for (const code of ['ERR_RATE_LIMIT_CONFIG', 'UNKNOWN']) expect(comment).toContain(`\`${code}\``);
});

test('docs/failure-modes.md has one row for each code of the store', () => {
  expect(rows(read('failure-modes.md'))).toEqual(
    CODES.filter((code: string) => code !== 'ERR_RATE_LIMIT_CONFIG').sort(),
  );
});

test.each<string>(REPORTED)('%s: docs/deployment.md and the reports agree whether it is retryable', (code) => {
  const last = new RegExp(`^\\| \`${code}\` \\|.*\\| (yes|no) \\|$`, 'm').exec(read('deployment.md'))?.[1];
  expect(last).toBe(troubleshootingFor(code).retryable ? 'yes' : 'no');
});
