import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CANARY, FORMS, leakedForm } from './support/canary';
import { failures, Fixture, type Op, type Endpoint } from './support/failures';
import { echoingServers } from './support/failures/echo';
import { HANG_MS, tryUntil } from './support/time';

// A canary password, given by every option and variable, must not leak in any failure: not in errors and their causes,
// not in an inspected limiter, not in the output of the process with all of Node.js's logs enabled.

const FIXTURE = join(__dirname, 'fixtures/log-failures.cjs');

interface Attempt {
  readonly label: string;
  readonly ops?: readonly Op[];
  readonly redis?: object;
  readonly env?: Record<string, string>;
}

interface Run {
  readonly timeoutMs: number;
  readonly attempts: readonly Attempt[];
}

let fixture: Fixture;
let directory: string;
beforeEach(() => {
  fixture = new Fixture(CANARY);
  directory = mkdtempSync(join(tmpdir(), 'rate-limit-canary-'));
});
afterEach(async () => {
  await fixture.end();
  rmSync(directory, { recursive: true });
});

/** Runs the fixture in a process and returns its whole output. */
async function printed(run: Run): Promise<string> {
  const file = join(directory, 'run.json');
  const attempts = run.attempts.map((attempt) => ({ ops: ['limit'], ...attempt }));
  writeFileSync(file, JSON.stringify({ ...run, attempts }));
  const own = Object.entries(process.env).filter(([name]) => !/REDIS|ELASTICACHE|NODE_EXTRA_CA_CERTS/.test(name));
  const child = spawn(process.execPath, [FIXTURE, file], {
    env: { ...Object.fromEntries(own), NODE_DEBUG: '*' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  child.stdout.on('data', (chunk) => (text += chunk));
  child.stderr.on('data', (chunk) => (text += chunk));
  const code = await new Promise((resolve) => child.once('close', resolve));
  expect({ code, text: code === 0 ? '' : text }).toEqual({ code: 0, text: '' });
  return text;
}

function expectNoLeak(text: string): void {
  const form = leakedForm(text);
  if (form === undefined) return;
  const at = text.toLowerCase().indexOf(form.toLowerCase());
  throw new Error(`the password is in what was printed: …${text.slice(Math.max(0, at - 200), at + 100)}…`);
}

/** The error code of an attempt, from the line that the fixture prints last. */
function endOf(text: string, label: string, op: Op): string | undefined {
  const line = text.split('\n').find((one) => one.startsWith(`${label} ${op}: `));
  return line?.slice(`${label} ${op}: `.length);
}

/**
 * The canary by each option and by the environment. All attempts run at the same time: different connect budgets keep
 * them from sharing a connection. The environment cannot set the budget, so a failure that needs half of it is awaited
 * once there, and not for each operation.
 */
function everyAttempt(endpoint: Endpoint, ops: readonly Op[], connectTimeoutMs?: number): Attempt[] {
  const { host, port, username, tls } = endpoint;
  const budget = connectTimeoutMs ?? HANG_MS;
  const once = connectTimeoutMs === undefined ? ops : ops.slice(0, 1);
  const [user, secret] = [username ?? '', encodeURIComponent(CANARY)];
  const url = `${tls ? 'rediss' : 'redis'}://${user}:${secret}@${host}:${port}`;
  return [
    { label: 'url', ops, redis: { url, tls, connectTimeoutMs: budget } },
    { label: 'password', ops, redis: { ...endpoint, connectTimeoutMs: budget - 1, password: CANARY } },
    { label: 'list', ops, redis: { ...endpoint, connectTimeoutMs: budget - 2, password: [`first-${CANARY}`, CANARY] } },
    {
      label: 'function',
      ops,
      redis: { ...endpoint, connectTimeoutMs: budget - 3, password: { source: { returns: CANARY } } },
    },
    { label: 'URL variable', ops: once, env: { REDIS_URL: url } },
    {
      label: 'host variables',
      ops: once,
      env: {
        REDIS_HOST: host,
        REDIS_PORT: `${port}`,
        REDIS_PASSWORD: CANARY,
        ELASTICACHE_REDIS_AUTH_TOKEN: `first-${CANARY}`,
        ...(username === undefined ? {} : { REDIS_USERNAME: username }),
        ...(tls === undefined ? {} : { REDIS_TLS: 'true' }),
      },
    },
  ];
}

const withPassword = failures.filter(({ password }) => password !== 'absent');

test.each([...withPassword, ...echoingServers].map((f) => [f.code, f.name, f] as const))(
  '%s: %s',
  async (_, __, failure) => {
    const { code, ops = ['limit', 'check', 'status', 'reset'], timeoutMs = HANG_MS } = failure;
    const attempts = everyAttempt(await failure.arrange(fixture), ops, failure.connectTimeoutMs);
    // Each attempt has to meet the failure, otherwise the absence of a leak proves nothing.
    const unmet = new Set(attempts.flatMap(({ label, ops }) => ops!.map((op) => `${label} ${op}`)));
    const provoke = async () => {
      const text = await printed({ timeoutMs, attempts });
      expectNoLeak(text);
      for (const { label, ops, env } of attempts) {
        // The connect budget of the environment is one second, which may run out on a busy machine.
        const fromEnvironment = env === undefined ? [] : ['ETIMEDOUT', failure.orElseFromEnvironment];
        const accepted = [code, failure.orElse, ...fromEnvironment].filter((one) => one !== undefined);
        for (const op of ops!) {
          const end = endOf(text, label, op);
          expect(accepted.map((one) => `${label} ${op}: ${one}`)).toContain(`${label} ${op}: ${end}`);
          if (end === code) unmet.delete(`${label} ${op}`);
        }
      }
      return [...unmet];
    };
    await tryUntil(provoke, ({ length }) => length === 0);
  },
);

test.each(['throws', 'rejects'])('a password function that %s with the password in its message', async (how) => {
  const { port } = await fixture.redis();
  const redis = { host: '127.0.0.1', port, password: { source: { [how]: `no ${CANARY} today` } } };
  const text = await printed({ timeoutMs: HANG_MS, attempts: [{ label: how, redis }] });
  expectNoLeak(text);
  expect(text).toContain(`${how} limit: NOAUTH`);
});

const SECRET = encodeURIComponent(CANARY);

/** Unusable options and variables, most of them because they hold the password in the wrong place. */
const unusable: Attempt[] = [
  ...[
    `redis://:${SECRET}@there:port`,
    `redis://:${SECRET}@there:0`,
    `redis://:${SECRET}@there:123456`,
    `redis://:${SECRET}@`,
    `redis://:${SECRET}@/`,
    `redis://:${SECRET}@there/${SECRET}`,
    `redis://there/${SECRET}`,
    `redis://:${SECRET}@there#insecure`,
    `redis://:${SECRET}@there?password=${SECRET}`,
    `redis://:%ff${SECRET}@there`,
    `redis://:${SECRET}@th%ffere`,
    `redis://${SECRET}`,
    `redis://:${CANARY}@there`,
    `https://default:${SECRET}@there.upstash.io`,
    `${SECRET}://there`,
    CANARY,
    SECRET,
  ].flatMap((url) => [
    { label: 'url', redis: { url } },
    { label: 'REDIS_URL', env: { REDIS_URL: url } },
  ]),
  ...[`redis://:${SECRET}@there`, `:${SECRET}@there`, `there:${SECRET}`].flatMap((host) => [
    { label: 'host', redis: { host } },
    { label: 'REDIS_HOST', env: { REDIS_HOST: host } },
  ]),
  ...['port', 'database', 'tls', 'cluster', 'connections', 'connectTimeoutMs', 'passwort'].map((option) => ({
    label: option,
    redis: { host: 'there', [option]: CANARY },
  })),
  { label: 'tls.ca', redis: { host: 'there', tls: { ca: CANARY } } },
  { label: 'tls.servername', redis: { host: 'there', tls: { servername: [CANARY] } } },
  { label: 'redis', redis: [CANARY] },
  { label: 'an object', redis: { host: 'there', password: { is: CANARY } } },
  { label: 'a list of lists', redis: { host: 'there', password: [CANARY, [CANARY]] } },
  { label: 'a url and a host', redis: { url: `redis://:${SECRET}@there`, host: 'there' } },
  { label: 'rediss and no tls', redis: { url: `rediss://:${SECRET}@there`, tls: false } },
  { label: 'a cluster', redis: { url: `redis://:${SECRET}@there/2`, cluster: true } },
  ...['REDIS_PORT', 'REDIS_TLS', 'REDIS_CLUSTER_MODE', 'REDIS_DATABASE'].map((name) => ({
    label: name,
    env: { REDIS_HOST: 'there', REDIS_PASSWORD: CANARY, [name]: CANARY },
  })),
  { label: 'REDIS_TLS off', env: { REDIS_URL: `rediss://:${SECRET}@there`, REDIS_TLS: 'no' } },
];

test('unusable configurations', async () => {
  const numbered = unusable.map((attempt, i) => ({ ...attempt, label: `${i} ${attempt.label}` }));
  const text = await printed({ timeoutMs: 50, attempts: numbered });
  expectNoLeak(text);
  // A value that could be a host name is resolved.
  for (const { label } of numbered)
    expect([label, endOf(text, label, 'limit')]).toEqual([label, expect.stringMatching(/^E/)]);
});

test('the control: a leak in any form is found', () => {
  const bytes = Buffer.from(CANARY);
  const basic = (name: string) => Buffer.from(`${name}:${CANARY}`).toString('base64');
  const leaks = [
    CANARY,
    SECRET,
    CANARY.slice(10),
    CANARY.slice(0, 20),
    JSON.stringify(CANARY),
    bytes.toString('hex'),
    bytes.toString('base64'),
    bytes.toString('base64url'),
    ...['', 'a', 'ab', 'default'].map(basic),
    `[${[...bytes].join(', ')}]`,
  ];
  for (const leak of leaks) expect([leak, leakedForm(`before${leak}after`)]).not.toEqual([leak, undefined]);
  expect(leakedForm(new Error('The rate limit could not be checked').stack!)).toBeUndefined();
  expect(new Set(FORMS).size).toBe(FORMS.length);
});
