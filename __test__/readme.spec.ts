import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { transformSync } from '@swc/core';

// Every snippet and command of the README is executed.

const ROOT = join(__dirname, '..');
const README = readFileSync(join(ROOT, 'README.md'), 'utf8');
const scripts: Record<string, string> = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).scripts;

/** The fenced code blocks of one language, in order. */
function blocks(language: string): string[] {
  return [...README.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map((m) => m[1]!);
}

const [uploads, reexport, route, wrapped, nextConfig, watching, testSetup, ...more] = blocks('ts') as [
  string,
  string,
  string,
  string,
  string,
  string,
  string,
];

let app: string;

beforeAll(() => {
  app = mkdtempSync(join(tmpdir(), 'rate-limit-readme-'));
  mkdirSync(join(app, 'node_modules/@huntaze'), { recursive: true });
  symlinkSync(ROOT, join(app, 'node_modules/@huntaze/rate-limit'), 'junction');
  writeFileSync(join(app, 'package.json'), '{ "type": "module" }');
  add('lib/ai/rate-limit', reexport);
  add('route', route.replace('@/lib/ai/rate-limit', './lib/ai/rate-limit.js'));
  add('wrapped', wrapped);
  add('next.config', nextConfig);
  add('watching', `${watching}export { checks, denials, degraded, breaker, storeLatencyMs, nearest };`);
  add(
    'uploads',
    uploads.replace(/(await uploads\.close)/, 'console.log(allowed, remaining, retryAfterMs, source);\n$1'),
  );
  add('setup', `declare function afterEach(fn: () => Promise<void>): void;\n${testSetup}`);
});
afterAll(() => rmSync(app, { recursive: true, force: true }));

/** Writes a snippet, and next to it its JavaScript without types. */
function add(name: string, source: string) {
  const file = join(app, name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.ts`, source);
  const { code } = transformSync(source, {
    jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
    module: { type: 'es6' },
  });
  writeFileSync(`${file}.js`, code);
}

function node(script: string): string {
  const env = { ...process.env, REDIS_URL: '' };
  return execFileSync(process.execPath, ['--input-type=module', '-e', script], {
    cwd: app,
    env,
    encoding: 'utf8',
  }).trim();
}

test('there is a test for every snippet', () => {
  expect(more).toEqual([]);
  expect(blocks('[a-z]*').length).toBe(blocks('ts').length + blocks('sh').length);
});

test('the snippets compile with the strictest options', () => {
  const tsc = require.resolve('typescript/package.json').replace('package.json', 'bin/tsc');
  const config = {
    compilerOptions: {
      strict: true,
      noEmit: true,
      module: 'nodenext',
      target: 'es2022',
      lib: ['es2023', 'dom'],
      types: [],
    },
    include: ['*.ts', 'lib/**/*.ts'],
  };
  writeFileSync(join(app, 'tsconfig.json'), JSON.stringify(config));
  expect(execFileSync(process.execPath, [tsc, '-p', app], { encoding: 'utf8' })).toBe('');
});

test('the route answers 429 with its headers once the plan is used up', () => {
  const out = node(`
    const { POST } = await import('./route.js');
    const post = () => POST(new Request('http://localhost', { method: 'POST', body: JSON.stringify({ creatorId: 7, plan: 'starter' }) }));
    const statuses = [];
    for (let i = 0; i < 50; i++) statuses.push((await post()).status);
    const last = await post();
    console.log(JSON.stringify([statuses.every((s) => s === 200), last.status, ...['Retry-After', 'X-RateLimit-Limit', 'X-RateLimit-Remaining'].map((h) => last.headers.get(h))]));`);
  expect(JSON.parse(out)).toEqual([true, 429, '3600', '50', '0']);
});

test('so does the handler with an explicit check, and its metrics can be read', () => {
  const out = node(`
    const { GET } = await import('./wrapped.js');
    const get = () => GET(new Request('http://localhost', { headers: { 'X-Creator': '7' } }));
    const first = await get();
    for (let i = 0; i < 49; i++) await get();
    const last = await get();
    const { checks, denials, nearest } = await import('./watching.js');
    console.log(JSON.stringify([first.status, first.headers.get('X-RateLimit-Remaining'), last.status, checks, denials, nearest[0].creatorId, nearest[0].used]));`);
  const [line, figures] = out.split('\n') as [string, string];
  expect(JSON.parse(line)).toMatchObject({ RateLimitExceeded: 1 });
  expect(JSON.parse(figures)).toEqual([200, '49', 429, 51, 1, '7', 50]);
});

test('the other snippets work as described', () => {
  expect(node(`await import('./uploads.js')`)).toBe('true 9 0 memory');
  expect(node(`console.log((await import('./next.config.js')).default.serverExternalPackages)`)).toContain(
    '@huntaze/rate-limit',
  );
  const out = node(`
    const hooks = [];
    globalThis.afterEach = (hook) => hooks.push(hook);
    await import('./setup.js');
    const { checkCreatorRateLimit, getRateLimitStatus } = await import('@huntaze/rate-limit');
    await checkCreatorRateLimit(1);
    for (const hook of hooks) await hook();
    console.log(hooks.length, (await getRateLimitStatus(1)).remaining);`);
  expect(out).toBe('1 100');
});

test('the first screen installs and uses the package', () => {
  const screen = README.split('\n').slice(0, 40).join('\n');
  expect(screen).toContain('npm install @huntaze/rate-limit\n');
  expect(screen).toContain(uploads);
  expect(uploads.trim().split('\n')).toHaveLength(6);
  expect(README.split('\n').length).toBeLessThan(200);
});

test('the commands are scripts of the package', () => {
  const commands = [...README.matchAll(/npm (?:run )?([a-z:]+)/g)].map((m) => m[1]!).filter((c) => c !== 'install');
  expect(new Set(commands)).toEqual(new Set(['demo', 'test', 'example', 'test:app', 'bench', 'chaos', 'pack:local']));
  for (const command of commands) expect(scripts).toHaveProperty([command]);
});

test('npm run demo runs', () => {
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  const env = { ...process.env, REDIS_URL: '' };
  const out = execFileSync(npm, ['run', 'demo'], {
    cwd: ROOT,
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  for (const word of ['starter', 'pro', 'business', 'memory']) expect(out).toContain(word);
}, 120_000);

test('the table of variables has exactly the variables that are read', () => {
  const { constants } = require('../lib/native.js');
  const named = new Set(README.match(/\b(ELASTICACHE_REDIS|REDIS|NODE_EXTRA)_[A-Z_]+\b/g));
  expect(named).toEqual(new Set(constants.variables));
});
