import { RateLimiter, elastiCacheIam, type AwsCredentials, type Decision } from '@huntaze/rate-limit';
import { freshId } from '../support/stores';
import { IamGate } from './gate';

// Connections that stay for longer than their tokens hold, and than a login does: they log in again while checks go on.

/** How long the limiters take a login for good: 12 hours, but for these tests. No option of the package says so. */
let mockLifeMs: number | undefined;
jest.mock('../../face/binding.js', () => {
  const actual = jest.requireActual('../../face/binding.js');
  const { NativeLimiter } = actual.binding;
  const made = (buffer: unknown, number: number, options: object, redis: object, environment: unknown) =>
    new NativeLimiter(buffer, number, options, { ...redis, loginLifeMs: mockLifeMs }, environment);
  // Called with `new`, which gives back what it returns.
  const Shortened = function (...all: Parameters<typeof made>) {
    return made(...all);
  };
  return { ...actual, binding: Object.create(actual.binding, { NativeLimiter: { value: Shortened } }) };
});

const CACHE = 'limits';
const USER = 'limiter';
const REGION = 'eu-west-1';

/** Connections, each of a limiter of its own. */
const CLIENTS = 4;
/** How long a login holds: between the moment to renew it and the one to give up there is an eighth of a second at the least. */
const LIFE_MS = 6000;
/** What the server allows, on a busy machine. */
const ENOUGH_MS = 9000;
/** A token's, and those who ask share one for a second. */
const TOKEN_MS = 5000;

let gate: IamGate;
let limiters: RateLimiter[];
let signed: number;

async function open(lifeMs: number): Promise<void> {
  gate = await IamGate.start({ cache: CACHE, username: USER, region: REGION, lifeMs });
  // To a clock that is that far ahead, a quarter of an hour is over so soon.
  gate.aheadMs = 900_000 - TOKEN_MS;
  signed = 0;
  const credentials = async (): Promise<AwsCredentials> => {
    const key = {
      accessKeyId: `ASIA${signed++}`,
      secretAccessKey: `secret-${signed}`,
      sessionToken: `session-${signed}`,
    };
    gate.keys.set(key.accessKeyId, key);
    // A minute of it is not used.
    return { ...key, expiration: new Date(Date.now() + 61_000) };
  };
  const password = elastiCacheIam({ cache: CACHE, username: USER, region: REGION, credentials });
  const redis = { host: '127.0.0.1', port: gate.port, username: USER, password, tls: { ca: gate.ca } };
  const patient = { timeoutMs: 10_000, denyCacheMs: 0, onStoreError: 'throw' } as const;
  limiters = Array.from({ length: CLIENTS }, () => {
    return new RateLimiter({
      name: 'live',
      limit: 1_000_000,
      windowMs: 60_000,
      redis: { ...redis, connectTimeoutMs: 10_000 },
      ...patient,
    });
  });
}

afterEach(async () => {
  for (const limiter of limiters) await limiter.close();
  await gate.stop();
});

/** Checks over each of the connections, several at a time, until `done`; who decided, or why nobody did, and how often. */
async function load(done: () => boolean): Promise<Record<string, number>> {
  const outcomes: Record<string, number> = {};
  const note = (outcome: string) => void (outcomes[outcome] = (outcomes[outcome] ?? 0) + 1);
  const check = (limiter: RateLimiter) =>
    limiter.limit(freshId()).then(
      ({ source }: Decision) => note(source),
      (error: Error & { code?: string }) => note(error.code ?? error.message),
    );
  const end = performance.now() + 45_000;
  const burst = async (limiter: RateLimiter) => {
    while (!done() && performance.now() < end) {
      await Promise.all(Array.from({ length: 8 }, () => check(limiter)));
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  };
  await Promise.all(limiters.map(burst));
  if (!done()) throw new Error(`it has not come to this within 45 s: ${JSON.stringify(outcomes)}`);
  return outcomes;
}

test('they log in again, with another token each time, and no check fails', async () => {
  mockLifeMs = LIFE_MS;
  await open(ENOUGH_MS);
  const begun = performance.now();
  const outcomes = await load(() => gate.letIn.filter((count) => count >= 3).length >= CLIENTS);
  expect(Object.keys(outcomes)).toEqual(['redis']);
  // They are older by now than the server lets a login become, and no connection has come to that.
  expect(performance.now() - begun).toBeGreaterThan(ENOUGH_MS);
  expect(gate.expired).toBe(0);
  // Each AUTH was looked at, and let in.
  expect(gate.logins.length).toBe(gate.letIn.reduce((sum, count) => sum + count));
  expect(new Set(gate.logins)).toEqual(new Set([undefined]));
  expect(gate.tokens.size).toBeGreaterThanOrEqual(3);
  expect(signed).toBeLessThanOrEqual(gate.logins.length);
  // What they came with lets nobody in any more.
  const [first] = gate.tokens;
  expect(gate.refuses(first!)).toBe('expired');
}, 60_000);

test('the control: who does not log in again is disconnected in the midst of it', async () => {
  mockLifeMs = undefined;
  await open(1500);
  await load(() => gate.expired >= CLIENTS);
  expect(Math.max(...gate.letIn)).toBe(1);
}, 60_000);
