import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CANARY, FORMS, heard } from './support/canary';
import { failures, Scene, type Op, type Place } from './support/failures';
import { echoes } from './support/failures/echo';
import { HANG_MS, tryUntil } from './support/time';

// A password is given in every way there is, every failure is met with it, and it is nowhere: not in errors and their
// causes, not in what inspecting a limiter shows, not in what the process prints with all of Node.js's logs turned on.

const FIXTURE = join(__dirname, 'fixtures/log-failures.cjs');

interface Way {
  readonly way: string;
  readonly ops?: readonly Op[];
  readonly redis?: object;
  readonly env?: Record<string, string>;
}

interface Meeting {
  readonly timeoutMs: number;
  readonly ways: readonly Way[];
}

let scene: Scene;
let directory: string;
beforeEach(() => {
  scene = new Scene(CANARY);
  directory = mkdtempSync(join(tmpdir(), 'rate-limit-canary-'));
});
afterEach(async () => {
  await scene.end();
  rmSync(directory, { recursive: true });
});

/** Has a process meet it, and returns all that it printed. */
async function printed(meeting: Meeting): Promise<string> {
  const file = join(directory, 'meeting.json');
  const ways = meeting.ways.map((way) => ({ ops: ['limit'], ...way }));
  writeFileSync(file, JSON.stringify({ ...meeting, ways }));
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

function expectSilence(text: string): void {
  const form = heard(text);
  if (form === undefined) return;
  const at = text.toLowerCase().indexOf(form.toLowerCase());
  throw new Error(`the password is in what was printed: …${text.slice(Math.max(0, at - 200), at + 100)}…`);
}

/** How it ended: the code, by the line that the process prints last. */
function endOf(text: string, way: string, op: Op): string | undefined {
  const line = text.split('\n').find((one) => one.startsWith(`${way} ${op}: `));
  return line?.slice(`${way} ${op}: `.length);
}

/**
 * The canary as each option takes it, and as the environment does. All are met at the same time: the budget of the connect keeps
 * them from sharing a connection. The environment says nothing of it, so that a failure that comes when half of it has run out is
 * waited for once there, and not with each operation.
 */
function everyWay(place: Place, ops: readonly Op[], connectTimeoutMs?: number): Way[] {
  const { host, port, username, tls } = place;
  const budget = connectTimeoutMs ?? HANG_MS;
  const once = connectTimeoutMs === undefined ? ops : ops.slice(0, 1);
  const [user, secret] = [username ?? '', encodeURIComponent(CANARY)];
  const url = `${tls ? 'rediss' : 'redis'}://${user}:${secret}@${host}:${port}`;
  return [
    { way: 'url', ops, redis: { url, tls, connectTimeoutMs: budget } },
    { way: 'password', ops, redis: { ...place, connectTimeoutMs: budget - 1, password: CANARY } },
    { way: 'list', ops, redis: { ...place, connectTimeoutMs: budget - 2, password: [`first-${CANARY}`, CANARY] } },
    {
      way: 'function',
      ops,
      redis: { ...place, connectTimeoutMs: budget - 3, password: { source: { returns: CANARY } } },
    },
    { way: 'URL variable', ops: once, env: { REDIS_URL: url } },
    {
      way: 'host variables',
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

test.each([...withPassword, ...echoes].map((f) => [f.code, f.name, f] as const))('%s: %s', async (_, __, failure) => {
  const { code, ops = ['limit', 'check', 'status', 'reset'], timeoutMs = HANG_MS } = failure;
  const ways = everyWay(await failure.arrange(scene), ops, failure.connectTimeoutMs);
  // Each way has to meet the failure, or the silence proves nothing.
  const unmet = new Set(ways.flatMap(({ way, ops }) => ops!.map((op) => `${way} ${op}`)));
  const meet = async () => {
    const text = await printed({ timeoutMs, ways });
    expectSilence(text);
    for (const { way, ops, env } of ways) {
      // The connect budget of the environment is one second, which may run out on a busy machine.
      const fromEnvironment = env === undefined ? [] : ['ETIMEDOUT', failure.orElseFromEnvironment];
      const accepted = [code, failure.orElse, ...fromEnvironment].filter((one) => one !== undefined);
      for (const op of ops!) {
        const end = endOf(text, way, op);
        expect(accepted.map((one) => `${way} ${op}: ${one}`)).toContain(`${way} ${op}: ${end}`);
        if (end === code) unmet.delete(`${way} ${op}`);
      }
    }
    return [...unmet];
  };
  await tryUntil(meet, ({ length }) => length === 0);
});

test.each(['throws', 'rejects'])('a password function that fails and says why: it %s', async (how) => {
  const { port } = await scene.redis();
  const redis = { host: '127.0.0.1', port, password: { source: { [how]: `no ${CANARY} today` } } };
  const text = await printed({ timeoutMs: HANG_MS, ways: [{ way: how, redis }] });
  expectSilence(text);
  expect(text).toContain(`${how} limit: NOAUTH`);
});

const SECRET = encodeURIComponent(CANARY);

/** Options and variables that cannot work, most of them for holding the password in the wrong place. */
const unusable: Way[] = [
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
    { way: 'url', redis: { url } },
    { way: 'REDIS_URL', env: { REDIS_URL: url } },
  ]),
  ...[`redis://:${SECRET}@there`, `:${SECRET}@there`, `there:${SECRET}`].flatMap((host) => [
    { way: 'host', redis: { host } },
    { way: 'REDIS_HOST', env: { REDIS_HOST: host } },
  ]),
  ...['port', 'database', 'tls', 'cluster', 'connections', 'connectTimeoutMs', 'passwort'].map((option) => ({
    way: option,
    redis: { host: 'there', [option]: CANARY },
  })),
  { way: 'tls.ca', redis: { host: 'there', tls: { ca: CANARY } } },
  { way: 'tls.servername', redis: { host: 'there', tls: { servername: [CANARY] } } },
  { way: 'redis', redis: [CANARY] },
  { way: 'an object', redis: { host: 'there', password: { is: CANARY } } },
  { way: 'a list of lists', redis: { host: 'there', password: [CANARY, [CANARY]] } },
  { way: 'a url and a host', redis: { url: `redis://:${SECRET}@there`, host: 'there' } },
  { way: 'rediss and no tls', redis: { url: `rediss://:${SECRET}@there`, tls: false } },
  { way: 'a cluster', redis: { url: `redis://:${SECRET}@there/2`, cluster: true } },
  ...['REDIS_PORT', 'REDIS_TLS', 'REDIS_CLUSTER_MODE', 'REDIS_DATABASE'].map((name) => ({
    way: name,
    env: { REDIS_HOST: 'there', REDIS_PASSWORD: CANARY, [name]: CANARY },
  })),
  { way: 'REDIS_TLS off', env: { REDIS_URL: `rediss://:${SECRET}@there`, REDIS_TLS: 'no' } },
];

test('what cannot be configured', async () => {
  const numbered = unusable.map((way, i) => ({ ...way, way: `${i} ${way.way}` }));
  const text = await printed({ timeoutMs: 50, ways: numbered });
  expectSilence(text);
  // What could be the name of a host is looked up.
  for (const { way } of numbered) expect([way, endOf(text, way, 'limit')]).toEqual([way, expect.stringMatching(/^E/)]);
});

test('the control: an error that holds the password in any form would be heard', () => {
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
  for (const leak of leaks) expect([leak, heard(`before${leak}after`)]).not.toEqual([leak, undefined]);
  expect(heard(new Error('The rate limit could not be checked').stack!)).toBeUndefined();
  expect(new Set(FORMS).size).toBe(FORMS.length);
});
