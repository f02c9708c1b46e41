import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { transformSync } from '@swc/core';
import { startRedis } from './support/redis';
import { faultsOf } from './support/snippets';

// The snippets and commands of docs/migration.md are executed.

const ROOT = join(__dirname, '..');
const GUIDE = readFileSync(join(ROOT, 'docs/migration.md'), 'utf8');

/** The fenced code blocks of one language, in order, without the indent of their list. */
function blocks(language: string): string[] {
  const found = GUIDE.matchAll(new RegExp(`^( *)\`\`\`${language}\\n([\\s\\S]*?)^ *\`\`\``, 'gm'));
  return [...found].map(([, indent, block]) => block!.replaceAll(new RegExp(`^${indent}`, 'gm'), ''));
}

const [either, both, ...more] = blocks('ts') as [string, string];

/** An old module with two requests for each creator and its own RateLimitError. */
const OLD = `
  export class RateLimitError extends Error {
    constructor(readonly retryAfter: number, readonly limit: number, readonly remaining: number) { super('old'); }
  }
  const used = new Map<number, number>();
  export async function checkCreatorRateLimit(creatorId: number, plan: 'starter' | 'pro' | 'business' = 'pro'): Promise<void> {
    void plan;
    used.set(creatorId, (used.get(creatorId) ?? 0) + 1);
    if (used.get(creatorId)! > 2) throw new RateLimitError(7, 2, 0);
  }
  export async function getRateLimitStatus(creatorId: number): Promise<{ limit: number; remaining: number; reset: number }> {
    return { limit: 2, remaining: 2 - (used.get(creatorId) ?? 0), reset: 0 };
  }`;

const ROUTE = `
  import { checkCreatorRateLimit, getRateLimitStatus, RateLimitError } from './rate-limit.js';
  export async function ask(creatorId: number): Promise<string> {
    try {
      await checkCreatorRateLimit(creatorId, 'starter');
      return 'allowed';
    } catch (error) {
      if (error instanceof RateLimitError) return [error.retryAfter.toString(), error.limit, error.remaining].join();
      throw error;
    }
  }
  export const left = async (creatorId: number): Promise<number> => (await getRateLimitStatus(creatorId)).remaining;`;

let app: string;
beforeAll(() => {
  app = mkdtempSync(join(tmpdir(), 'rate-limit-migration-'));
  mkdirSync(join(app, 'node_modules/@huntaze'), { recursive: true });
  symlinkSync(ROOT, join(app, 'node_modules/@huntaze/rate-limit'), 'junction');
  for (const [name, switching] of Object.entries({ either, both })) {
    const directory = join(app, name);
    mkdirSync(directory);
    writeFileSync(join(directory, 'package.json'), '{ "type": "module" }');
    const sources = { 'rate-limit.old': OLD, 'rate-limit': switching, route: ROUTE };
    for (const [file, source] of Object.entries(sources)) {
      const text = source.replace("'./rate-limit.old'", "'./rate-limit.old.js'");
      writeFileSync(join(directory, `${file}.ts`), text);
      const { code } = transformSync(text, {
        jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
        module: { type: 'es6' },
      });
      writeFileSync(join(directory, `${file}.js`), code);
    }
  }
});
afterAll(() => rmSync(app, { recursive: true, force: true }));

/** The route's responses to four requests, and the remaining requests in their headers. */
function asked(directory: string, limiter: string): unknown {
  const script = `
    const { ask, left } = await import('./route.js');
    const answers = [];
    for (let i = 0; i < 4; i++) answers.push(await ask(7));
    console.log(JSON.stringify([...answers, await left(7)]));`;
  const env = { ...process.env, REDIS_URL: '', RATE_LIMITER: limiter };
  const options = { cwd: join(app, directory), env, encoding: 'utf8' } as const;
  return JSON.parse(execFileSync(process.execPath, ['--input-type=module', '-e', script], options));
}

test('there is a test for every snippet', () => expect(more).toEqual([]));

test('the snippets compile', () => {
  expect(faultsOf(app, '*/*.ts')).toBe('');
});

test('one variable switches back', () => {
  expect(asked('either', 'old')).toEqual(['allowed', 'allowed', '7,2,0', '7,2,0', -2]);
  expect(asked('either', '')).toEqual(['allowed', 'allowed', 'allowed', 'allowed', 96]);
});

test('with both limiters, a denial by the old one is an error of the new one', () => {
  expect(asked('both', '')).toEqual(['allowed', 'allowed', '7,2,0', '7,2,0', 98]);
});

test('an Upstash URL is refused with the guide’s message', () => {
  const script = `require(${JSON.stringify(ROOT)}).checkCreatorRateLimit(7).catch((e) => console.log(e.code, e.message))`;
  const env = { ...process.env, REDIS_URL: 'https://eu1-wren-7.upstash.io' };
  const printed = execFileSync(process.execPath, ['-e', script], { env, encoding: 'utf8' }).trim();
  expect(printed).toMatch(/^ERR_RATE_LIMIT_CONFIG REDIS_URL is an http/);
  const words = GUIDE.replace(/\s+/g, ' ');
  expect(words).toContain(printed.slice('ERR_RATE_LIMIT_CONFIG '.length));
});

test('the commands delete the old keys and no others', async () => {
  const redis = await startRedis();
  try {
    const old = ['rate_limit:7', 'rate_limit:a b', "rate_limit:o'clock", 'anomaly:7'];
    const others = ['{creator:7}', '{creator:rate_limit%3A7}', 'session:rate_limit:7'];
    for (const key of [...old, ...others]) redis.cli('set', key, 'x');
    const env = { ...process.env, REDIS_URL: redis.url };
    for (const block of blocks('sh')) execFileSync('bash', ['-ec', block], { env, stdio: 'pipe' });
    expect(Object.keys(redis.ttls()).sort()).toEqual(others.sort());
  } finally {
    await redis.stop();
  }
});
