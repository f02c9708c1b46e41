import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

// ARCHITECTURE.md leads a newcomer to files: each of them exists.

const ROOT = join(__dirname, '..');
const DOCUMENT = readFileSync(join(ROOT, 'ARCHITECTURE.md'), 'utf8');

/** Every path from the root of the repository, in the text, in links and in the block of layers. */
const paths = [
  ...new Set(
    DOCUMENT.match(/(?<![\w./-])(?:src|lib|types|docs|__test__)\/(?:[\w.-]*\w\/?)*|\b[A-Z]+\.md\b|\bindex\.[\w.]+\w/g),
  ),
];

test('there are paths to check', () => {
  expect(paths).toEqual(expect.arrayContaining(['src/quota/', 'src/limiter/mod.rs', 'lib/bridge.js', 'README.md']));
});

test.each(paths)('%s exists', (path) => {
  expect(existsSync(join(ROOT, path))).toBe(true);
});
