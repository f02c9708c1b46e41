// The declarations compile with the types of any project: neither the DOM library nor @types/node is needed.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root } from '../support/consumer';

/** The compiler's output for `files` in __test__/types, with every check enabled. */
function printed(files: string[], options: string[]): string {
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const always = ['--noEmit', '--ignoreConfig', '--strict', '--exactOptionalPropertyTypes', '--skipLibCheck', 'false'];
  const args = [
    compiler,
    ...always,
    '--target',
    'es2022',
    ...options,
    ...files.map((file) => `__test__/types/${file}`),
  ];
  const { stdout, stderr } = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8' });
  return stdout + stderr;
}

const modules = [
  { module: 'nodenext', flags: [] },
  { module: 'node16', flags: [] },
  { module: 'esnext', flags: ['--moduleResolution', 'bundler'] },
];
const web = [
  { lib: 'es2022,dom', types: '' },
  { lib: 'es2022,dom,dom.iterable', types: 'node' },
  { lib: 'es2022,webworker', types: '' },
  { lib: 'es2023', types: 'node' },
];
const bare = [
  { lib: 'es2022', types: '' },
  { lib: 'es2015', types: '' },
  { lib: 'esnext', types: '' },
];

describe.each(modules)('module $module', ({ module, flags }) => {
  const options = (lib: string, types: string) => ['--module', module, ...flags, '--lib', lib, '--types', types];

  test.each(web)('lib $lib, types "$types": routes are of the global classes', ({ lib, types }) => {
    const files = ['with-web-types.ts', 'async.ts', 'undefined.ts'];
    expect(printed(files, options(lib, types))).toBe('');
  });

  test.each(bare)('lib $lib alone: no type is missing', ({ lib, types }) => {
    expect(printed(['without-web-types.ts'], options(lib, types))).toBe('');
  });
});

test('the control: a compiler error is reported', () => {
  const options = ['--module', 'nodenext', '--lib', 'es2022', '--types', ''];
  expect(printed(['with-web-types.ts'], options)).toMatch(/Cannot find name 'Request'/);
});
