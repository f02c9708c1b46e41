import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(__dirname, '..', '..');

/** The compiler's output for the snippets of a document in a folder; empty without an error. */
export function faultsOf(directory: string, include: string, stricter: Record<string, boolean> = {}): string {
  const compilerOptions = {
    strict: true,
    noEmit: true,
    module: 'nodenext',
    target: 'es2022',
    lib: ['es2023', 'dom'],
    types: ['node'],
    typeRoots: [join(ROOT, 'node_modules/@types')],
    ...stricter,
  };
  writeFileSync(join(directory, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: [include] }));
  const tsc = require.resolve('typescript/package.json').replace('package.json', 'bin/tsc');
  const { stdout, stderr, status } = spawnSync(process.execPath, [tsc, '-p', directory], { encoding: 'utf8' });
  return status === 0 ? '' : `${stdout}${stderr}` || `the compiler ended with ${status}`;
}
