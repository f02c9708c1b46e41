// Selects the Jest specs of a command. A spec that is in neither list runs in `npm run check` and in `npm test`, so
// that a new one always runs.
//
//   node scripts/jest-specs.mjs check|test|rest [options of Jest]

import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { jest } from './jest.mjs';
import { Failure, runIfMain, root } from './run.mjs';

/**
 * In `npm test` and not in `npm run check`: specs with processes, compilers and clusters. Files without `.spec.ts`, or
 * folders.
 */
const notInCheck = [
  ...[
    'credentials/iam',
    'credentials/optional-packages',
    'credentials/rotation',
    'error-codes',
    'flavours',
    'process/',
    'secret-leaks',
  ],
  ...['deployment-guide', 'migration', 'migration-guide', 'package/packed', 'readme'],
];

/** In `npm run test:all` alone: specs that are slow by design, such as a million checks, or logins that expire. */
const onlyInTestAll = ['credentials/reauthentication', 'load/'];

/** One more than cores: specs wait for their servers and processes. No result depends on the number. */
const WORKERS = availableParallelism() + 1;

const commands = {
  check: `/__test__/(?!${anyOf([...notInCheck, ...onlyInTestAll])})`,
  test: `/__test__/(?!${anyOf(onlyInTestAll)})`,
  rest: `/__test__/${anyOf(onlyInTestAll)}`,
};

/** Runs the specs of a command, and counts their tests. */
export function specs(command, ...options) {
  if (!Object.hasOwn(commands, command)) throw new Failure(`it takes ${Object.keys(commands).join(', ')}`);
  for (const name of [...notInCheck, ...onlyInTestAll]) {
    if (!existsSync(join(root, '__test__', name.endsWith('/') ? name : `${name}.spec.ts`)))
      throw new Failure(`scripts/jest-specs.mjs names ${name}, which is no spec`);
  }
  return jest(`--maxWorkers=${WORKERS}`, `--testPathPatterns=${commands[command]}`, ...options);
}

function anyOf(names) {
  return `(${names.map((name) => (name.endsWith('/') ? name : `${name}[.]spec`)).join('|')})`;
}

await runIfMain(import.meta.url, specs);
