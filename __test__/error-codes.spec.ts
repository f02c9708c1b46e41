import { inspect } from 'node:util';
import { RateLimitError, RateLimiter } from '@huntaze/rate-limit';
import { at, failures, Fixture, type Failure, type Op, type Endpoint } from './support/failures';
import { freePort } from './support/redis';
import { freshId } from './support/stores';
import { HANG_MS, within } from './support/time';

// The codes of `onStoreError: 'throw'`, each provoked on real servers through the public interface.

const PASSWORD = 'correct-horse-battery-staple';
const OPS: Op[] = ['limit', 'check', 'status', 'reset'];

let fixture: Fixture;
const open: RateLimiter[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((l) => l.close()));
  await fixture.end();
});

function limiter(endpoint: Endpoint, timeoutMs = HANG_MS, name = freshId(), connectTimeoutMs = HANG_MS): RateLimiter {
  const { password } = fixture;
  const redis = { ...endpoint, password, connectTimeoutMs };
  const made = new RateLimiter({ name, limit: 5, windowMs: 60_000, onStoreError: 'throw', timeoutMs, redis });
  open.push(made);
  return made;
}

async function failing(call: Promise<unknown>): Promise<Error & { code?: string }> {
  const outcome = await call.then(
    (value) => `resolved to ${inspect(value)}`,
    (error: unknown) => error,
  );
  expect(outcome).toBeInstanceOf(Error);
  expect(outcome).not.toBeInstanceOf(RateLimitError);
  const error = outcome as Error;
  // The rest of the message is for people: words, on one line.
  expect(error.message).toMatch(/^The rate limit could not be checked: [^\p{Cc}]{10,}$/u);
  return error;
}

/**
 * Makes a request over a new connection, which a different connect budget guarantees: no other limiter remembers a
 * failure on it.
 */
async function failingAfresh(endpoint: Endpoint, op: Op, { timeoutMs, connectTimeoutMs = HANG_MS }: Failure) {
  const asked = limiter(endpoint, timeoutMs, freshId(), connectTimeoutMs - OPS.indexOf(op));
  const error = await failing(asked[op]('id'));
  await asked.close();
  return error;
}

for (const failure of failures) {
  const { name, code, caused, ops = OPS, password, orElse, arrange } = failure;
  // A client without a password begins with another command than one that authenticates.
  for (const given of [undefined, PASSWORD]) {
    if (given === undefined ? password === 'needed' : password === 'absent') continue;

    test(`${code}: ${name}${given === undefined ? '' : ', with a password'}`, async () => {
      fixture = new Fixture(given);
      const endpoint = await arrange(fixture);
      const provoke = async (op: Op) => {
        let error = await failingAfresh(endpoint, op, failure);
        for (let i = 0; orElse !== undefined && error.code === orElse && i < 50; i++) {
          error = await failingAfresh(endpoint, op, failure);
        }
        expect({ op, code: error.code }).toEqual({ op, code });
        if (caused) {
          expect(error.cause).toBeInstanceOf(Error);
          expect((error.cause as Error).message).not.toBe('');
        }
      };
      await Promise.all(ops.map(provoke));
    });
  }
}

test('the code stays while the limiter waits to reconnect', async () => {
  fixture = new Fixture();
  const endpoint = at(await freePort());
  // Within the second before the next connection attempt: that may fail with another code.
  const errors = await within(1000, async () => {
    const asked = limiter(endpoint);
    const all: (Error & { code?: string })[] = [];
    for (let i = 0; i < 20; i++) all.push(await failing(asked.check('id')));
    return all;
  });
  for (const error of errors) {
    expect(error).toMatchObject({ code: 'ECONNREFUSED' });
    expect(error.cause).toBeInstanceOf(Error);
  }
});

describe('a server that was healthy', () => {
  /** Connected before the failure: a patient limiter on the same endpoint shares its connection. */
  async function wellBefore(timeoutMs?: number) {
    fixture = new Fixture();
    const server = await fixture.redis();
    const name = freshId();
    await limiter(at(server.port)).check('before');
    return { server, name, asked: limiter(at(server.port), timeoutMs, name) };
  }

  test('ETIMEDOUT: it is paused', async () => {
    const { server, asked } = await wellBefore(250);
    server.cli('client', 'pause', '60000', 'all');
    await Promise.all(
      OPS.map(async (op) => expect(await failing(asked[op]('id'))).toMatchObject({ code: 'ETIMEDOUT' })),
    );
  });

  test('READONLY or LOADING: it becomes a replica', async () => {
    const { server, asked } = await wellBefore();
    server.cli('replicaof', '127.0.0.1', `${await freePort()}`);
    const codes = expect.stringMatching(/^(READONLY|LOADING)$/);
    const writes = ['limit', 'check', 'reset'] as const;
    await Promise.all(writes.map(async (op) => expect(await failing(asked[op]('id'))).toMatchObject({ code: codes })));
  });

  test('ECONNRESET or ECONNREFUSED: it stops', async () => {
    const { server, asked } = await wellBefore();
    await server.stop();
    const codes = expect.stringMatching(/^(ECONNRESET|ECONNREFUSED)$/);
    await Promise.all(OPS.map(async (op) => expect(await failing(asked[op]('id'))).toMatchObject({ code: codes })));
  });

  test('NOPERM: the user loses its command permissions', async () => {
    const { server, asked } = await wellBefore();
    server.cli('acl', 'setuser', 'default', '-evalsha', '-eval');
    await Promise.all(OPS.map(async (op) => expect(await failing(asked[op]('id'))).toMatchObject({ code: 'NOPERM' })));
  });

  test("PROTOCOL: a key has another type, and only that key's id fails", async () => {
    const { server, asked, name } = await wellBefore();
    server.cli('set', `{${name}:id}`, 'text');
    for (const op of ['limit', 'check', 'status'] as const) {
      const [error, neighbour] = await Promise.all([failing(asked[op]('id')), asked.limit('neighbour')]);
      expect(error).toMatchObject({ code: 'PROTOCOL' });
      expect(neighbour).toMatchObject({ allowed: true, source: 'redis' });
    }
    await asked.reset('id');
    expect(await asked.limit('id')).toMatchObject({ remaining: 4, source: 'redis' });
  });
});
