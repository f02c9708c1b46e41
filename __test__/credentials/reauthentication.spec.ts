import { RateLimiter, elastiCacheIam, type AwsCredentials, type Decision } from '@huntaze/rate-limit';
import { Cluster, SHARDS } from '../servers/index.cjs';
import { freshId } from '../support/stores';
import { BACKEND_PASSWORD, IamProxy } from './iam-proxy';
import { HANG_MS } from '../support/time';

// Connections that outlive their tokens and the lifetime of a login: they re-authenticate while checks continue.

/** The limiters' lifetime of a login, 12 hours outside of these tests. It is no option of the package. */
let mockLifeMs: number | undefined;
jest.mock('../../lib/native.js', () => {
  const actual = jest.requireActual('../../lib/native.js');
  const { NativeLimiter } = actual.binding;
  const made = (buffer: unknown, number: number, options: object, redis: object, environment: unknown) =>
    new NativeLimiter(buffer, number, options, { ...redis, loginLifeMs: mockLifeMs }, environment);
  // Called with `new`, which returns the object that it returns.
  const Shortened = function (...all: Parameters<typeof made>) {
    return made(...all);
  };
  return { ...actual, binding: Object.create(actual.binding, { NativeLimiter: { value: Shortened } }) };
});

/** Connections, each of its own limiter. */
const CLIENTS = 4;
/** The lifetime of a login: the connection re-authenticates, or is replaced, before its end. */
const LIFE_MS = 6000;
/** The lifetime on the server: so much longer that re-authentication is in time on a busy machine. */
const ENOUGH_MS = 24_000;
/** The lifetime of a token; all callers share one for a second. */
const TOKEN_MS = 15_000;
/** The other nodes must not mark a cluster node as failed. */
const STEADY = { hostNames: 'localhost', nodeTimeoutMs: 20_000 };
const PATIENCE_MS = 100_000;

const WHO = { cache: 'limits', username: 'limiter', region: 'eu-west-1' };

let proxies: IamProxy[];
let limiters: RateLimiter[];
let signed: number;

/** Opens `count` limiters with one source of tokens, which connect to the first proxy. */
function open(count: number, serverless = false): void {
  signed = 0;
  // A clock that is so far ahead ends the quarter of an hour of a token that soon.
  for (const proxy of proxies) proxy.aheadMs = 900_000 - TOKEN_MS;
  const credentials = async (): Promise<AwsCredentials> => {
    const id = `ASIA${signed++}`;
    const key = { accessKeyId: id, secretAccessKey: `secret of ${id}`, sessionToken: `session of ${id}` };
    for (const proxy of proxies) proxy.keys.set(id, key);
    // Its last minute is not used.
    return { ...key, expiration: new Date(Date.now() + 61_000) };
  };
  const [{ port, ca }] = proxies as [IamProxy];
  const password = elastiCacheIam({ ...WHO, serverless, credentials });
  const redis = {
    host: 'localhost',
    port,
    username: WHO.username,
    password,
    tls: { ca },
    connectTimeoutMs: HANG_MS,
  };
  const options = { name: 'live', limit: 1_000_000, windowMs: 60_000, denyCacheMs: 0, redis } as const;
  limiters = Array.from({ length: count }, () => {
    return new RateLimiter({ ...options, onStoreError: 'throw', timeoutMs: HANG_MS });
  });
}

afterEach(async () => {
  for (const limiter of limiters) await limiter.close();
  for (const proxy of proxies) await proxy.stop();
});

/**
 * Checks by all limiters, several at a time, until `done`; returns how often each source decided, and each error code.
 */
async function load(done: () => boolean): Promise<Record<string, number>> {
  const outcomes: Record<string, number> = {};
  const note = (outcome: string) => void (outcomes[outcome] = (outcomes[outcome] ?? 0) + 1);
  const check = (limiter: RateLimiter) =>
    limiter.limit(freshId()).then(
      ({ source }: Decision) => note(source),
      (error: Error & { code?: string }) => note(error.code ?? error.message),
    );
  const end = performance.now() + PATIENCE_MS;
  const burst = async (limiter: RateLimiter) => {
    while (!done() && performance.now() < end) {
      await Promise.all(Array.from({ length: 8 }, () => check(limiter)));
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  };
  await Promise.all(limiters.map(burst));
  if (!done()) throw new Error(`it has not come to this within ${PATIENCE_MS} ms: ${JSON.stringify(outcomes)}`);
  return outcomes;
}

/** Whether `count` connections through the proxy have authenticated, and twice again. */
const renewedTwice = (proxy: IamProxy, count: number) => proxy.accepted.filter((times) => times >= 3).length >= count;

/** Each login was checked and accepted, no connection reached its maximum age, and the first token has expired. */
function expectEachAccepted(proxy: IamProxy): void {
  expect(proxy.expired).toBe(0);
  expect(proxy.logins.length).toBe(proxy.accepted.reduce((sum, times) => sum + times));
  expect(new Set(proxy.logins)).toEqual(new Set([undefined]));
  expect(proxy.tokens.size).toBeGreaterThanOrEqual(3);
  const [first] = proxy.tokens;
  expect(proxy.refuses(first!)).toBe('expired');
}

test('they re-authenticate, with another token each time, and no check fails', async () => {
  mockLifeMs = LIFE_MS;
  proxies = [await IamProxy.start({ ...WHO, lifeMs: ENOUGH_MS })];
  open(CLIENTS);
  const [proxy] = proxies as [IamProxy];
  // They are older by then than the server's lifetime of a login.
  const enough = performance.now() + ENOUGH_MS;
  const outcomes = await load(() => performance.now() > enough && renewedTwice(proxy, CLIENTS));
  expect(Object.keys(outcomes)).toEqual(['redis']);
  expectEachAccepted(proxy);
  expect(signed).toBeLessThanOrEqual(proxy.logins.length);
});

test('nor on a cluster, as a serverless cache is, with a login to each node', async () => {
  mockLifeMs = LIFE_MS;
  const cluster = await Cluster.start({ username: WHO.username, password: BACKEND_PASSWORD, ...STEADY });
  const primaries = cluster.nodes.slice(0, SHARDS);
  const before = ({ port }: { port: number }, i: number) => {
    const stop = async () => void (i === 0 && (await cluster.stop()));
    return IamProxy.before({ port, stop }, { ...WHO, serverless: true, lifeMs: ENOUGH_MS });
  };
  proxies = await Promise.all(primaries.map(before));
  // Redirects and shard maps lead to the proxies.
  const ports = proxies.map(({ port }) => port);
  for (const [i, node] of primaries.entries()) await node.send('CONFIG', 'SET', 'cluster-announce-port', ports[i]!);
  const known = async (node: (typeof primaries)[number]) => {
    const rows = (await node.send('CLUSTER', 'SLOTS')) as [number, number, [string, number]][];
    return rows.every(([, , [, port]]) => ports.includes(port));
  };
  const end = performance.now() + PATIENCE_MS;
  while (!(await Promise.all(primaries.map(known))).every(Boolean)) {
    if (performance.now() > end) throw new Error('not every node knows the proxies of the others');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  open(1, true);
  const enough = performance.now() + ENOUGH_MS;
  const outcomes = await load(() => performance.now() > enough && proxies.every((proxy) => renewedTwice(proxy, 1)));
  expect(Object.keys(outcomes)).toEqual(['redis']);
  for (const proxy of proxies) expectEachAccepted(proxy);
});

test('the control: connections that do not re-authenticate are closed under load', async () => {
  mockLifeMs = undefined;
  proxies = [await IamProxy.start({ ...WHO, lifeMs: 1500 })];
  open(CLIENTS);
  const [proxy] = proxies as [IamProxy];
  await load(() => proxy.expired >= CLIENTS);
  expect(Math.max(...proxy.accepted)).toBe(1);
});
