// Writes results: a JSON file with everything, and a Markdown file to read.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export function writeResults(directory, jsonName, markdownName, results, markdown) {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, jsonName), `${JSON.stringify(results, null, 1)}\n`);
  writeFileSync(join(directory, markdownName), markdown);
}
