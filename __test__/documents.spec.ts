import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';

// The documents lead a reader to files: each of them exists. What the guides say is tested in readme.spec.ts and the specs
// beside it.

const ROOT = join(__dirname, '..');
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');

describe('ARCHITECTURE.md', () => {
  /** Every path from the root of the repository, in the text, in links and in the block of layers. */
  const path =
    /(?<![\w./-])(?:src|lib|types|docs|__test__)\/(?:[\w.-]*\w\/?)*|\b[A-Z]+\.md\b|\bindex\.[\w.]+\w|\bCargo\.toml\b/g;
  const paths = [...new Set(read('ARCHITECTURE.md').match(path))];

  test('names files', () => {
    expect(paths).toEqual(expect.arrayContaining(['src/quota/', 'src/limiter/mod.rs', 'lib/bridge.js', 'README.md']));
    expect(paths.length).toBeGreaterThan(100);
  });

  test.each(paths)('%s exists', (path) => {
    expect(existsSync(join(ROOT, path))).toBe(true);
  });
});

const DOCUMENTS = [
  ...['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'SECURITY.md', 'examples/nextjs/README.md'],
  ...readdirSync(join(ROOT, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

/** The anchors of a document: its headings, as GitHub writes them. */
function anchors(document: string): string[] {
  const headings = [...read(document).matchAll(/^#+ (.+)$/gm)].map((heading) => heading[1]!);
  return headings.map((text) =>
    text
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );
}

test.each(DOCUMENTS)('the links of %s lead to files and headings', (document) => {
  const links = [...read(document).matchAll(/\]\((?!https?:)([^)\s#]*)(?:#([^)\s]+))?\)/g)];
  const dead = links.filter(([, path, anchor]) => {
    const target = path === '' ? document : join(dirname(document), path!);
    return !existsSync(join(ROOT, target)) || (anchor !== undefined && !anchors(target).includes(anchor));
  });
  expect(dead.map(([link]) => link)).toEqual([]);
});
