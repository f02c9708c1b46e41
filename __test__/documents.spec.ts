import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';

// The documents lead a reader to files: each of them exists. What the guides say is tested in readme.spec.ts and the specs
// beside it.

const ROOT = join(__dirname, '..');
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');

const DOCUMENTS = [
  ...['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'SECURITY.md', 'examples/nextjs/README.md'],
  ...readdirSync(join(ROOT, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

/** Every path from the root of the repository, in the text, in links and in the block of layers. */
const PATH =
  /(?<![\w./-])(?:src|lib|types|docs|__test__|scripts|bench|examples|npm|\.github|\.ci)\/(?:[\w.-]*\w\/?)*|\b[A-Z]+\.md\b|\bindex\.[\w.]+\w|\bCargo\.toml\b/g;

test('ARCHITECTURE.md names files', () => {
  const paths = new Set(read('ARCHITECTURE.md').match(PATH));
  for (const path of ['src/quota/', 'src/limiter/mod.rs', 'lib/bridge.js', 'README.md']) expect(paths).toContain(path);
  expect(paths.size).toBeGreaterThan(100);
});

test('the functions and tests that ARCHITECTURE.md names exist', () => {
  const folders = ['src', 'lib', '__test__'];
  const files = folders.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).map((file) => `${folder}/${file}`),
  );
  const source = files
    .filter((file) => /\.(rs|js|ts|mjs|lua)$/.test(file))
    .map(read)
    .join('\n');
  const names = [...read('ARCHITECTURE.md').matchAll(/`([a-z]+(?:_[a-z0-9]+)+|[a-z]+(?:[A-Z][a-z]+)+)`/g)];
  expect(names.length).toBeGreaterThan(5);
  const missing = names.map(([, name]) => name!).filter((name) => !new RegExp(`\\b${name}\\b`).test(source));
  expect(missing).toEqual([]);
});

test.each(['ARCHITECTURE.md', 'CONTRIBUTING.md'])('the paths in %s exist', (document) => {
  const paths = [...new Set(read(document).match(PATH))];
  expect(paths.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
});

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
