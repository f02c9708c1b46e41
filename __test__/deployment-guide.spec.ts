import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { faultsOf } from './support/snippets';

// The snippets and commands of docs/deployment.md are executed.

const { constants } = require('../lib/native.js') as { constants: { variables: string[] } };

const ROOT = join(__dirname, '..');
const read = (file: string) => readFileSync(join(ROOT, 'docs', file), 'utf8');
const GUIDE = read('deployment.md');

let directory: string;
beforeAll(() => (directory = mkdtempSync(join(tmpdir(), 'rate-limit-deployment-'))));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe('the build of Amplify', () => {
  /** The names of the variables that reach the running server of an environment. */
  function kept(names: string[]): string[] {
    const command = /^```yaml\n(?:(?!```)[^])*?^ *- (env \| .* >> \.env\.production)$/m.exec(GUIDE)![1]!;
    const env = { ...Object.fromEntries(names.map((name) => [name, 'value'])), PATH: '/usr/bin:/bin' };
    const script = `rm -f .env.production; ${command}`;
    execFileSync('bash', ['--norc', '-ec', script], { cwd: directory, env, stdio: 'pipe' });
    const written = readFileSync(join(directory, '.env.production'), 'utf8');
    return written.split('\n').flatMap((line) => /^(\w+)=value$/.exec(line)?.[1] ?? []);
  }

  /** The variables of a document, without error codes and the names that Next.js and AWS set themselves. */
  function named(text: string): string[] {
    const names = text.match(/\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b|\bRATE_LIMITER\b/g)!;
    return names.filter((name) => !/^(ERR_|AWS_|NEXT_RUNTIME$)/.test(name));
  }

  test('hands over every variable that the package reads or a guide names', () => {
    const documented = [...named(GUIDE), ...named(read('migration.md'))];
    expect(documented).toEqual(
      expect.arrayContaining(['RATE_LIMITER', 'RATE_LIMIT_OPERATOR_TOKEN', 'REDIS_URL', 'UPSTASH_REDIS_REST_TOKEN']),
    );
    const wanted = [...new Set([...constants.variables, ...documented])].sort();
    expect(kept(wanted).sort()).toEqual(wanted);
  });

  test('and no other variable', () => {
    const others = ['AWS_SECRET_ACCESS_KEY', 'MY_REDIS_URL', 'NODE_EXTRA_CA_CERTS_DIR', 'DATABASE_URL', 'NPM_TOKEN'];
    expect(kept(['REDIS_URL', ...others])).toEqual(['REDIS_URL']);
  });
});

test('the snippets compile, with the strictest compiler options', () => {
  // The surrounding code of an application.
  const before: Record<string, string> = {
    iam: '',
    configure: `import { configure } from '@huntaze/rate-limit';
      declare function tokenFromSecretsManager(): Promise<string>;`,
    route: '',
    instrumentation: '',
  };
  const snippets = [...GUIDE.matchAll(/^```ts\n([^]*?)^```/gm)].map(([, block]) => block!);
  expect(snippets).toHaveLength(Object.keys(before).length);
  mkdirSync(join(directory, 'node_modules/@huntaze'), { recursive: true });
  symlinkSync(ROOT, join(directory, 'node_modules/@huntaze/rate-limit'), 'junction');
  Object.entries(before).forEach(([name, lines], i) =>
    writeFileSync(join(directory, `${name}.ts`), `${lines}\n${snippets[i]}`),
  );
  const stricter = { exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true };
  expect(faultsOf(directory, '*.ts', stricter)).toBe('');
});
