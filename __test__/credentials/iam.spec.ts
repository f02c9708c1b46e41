import { inspect } from 'node:util';
import { RateLimiter, elastiCacheIam, type AwsCredentials, type ElastiCacheIamOptions } from '@huntaze/rate-limit';
import { Fixture } from '../support/failures';
import { freshId, pass } from '../support/stores';
import { IamProxy } from './iam-proxy';
import { Traffic } from './traffic';
import { HANG_MS, expectDeadline, tryUntil, until } from '../support/time';

// IAM tokens against a proxy that checks signature and expiry, in front of a real Redis.

const CACHE = 'Limits-of-Creators';
const USER = 'limiter+1@&=?';
const REGION = 'eu-west-1';
const KEY = { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' };

/** A connection that was idle for a second gets a health check. */
const QUIET_MS = 1100;

let proxy: IamProxy;
const limiters: RateLimiter[] = [];

async function open(options: { serverless?: boolean } = {}): Promise<void> {
  proxy = await IamProxy.start({ cache: CACHE, username: USER, region: REGION, ...options });
  proxy.keys.set(KEY.accessKeyId, KEY);
}

afterEach(async () => {
  for (const limiter of limiters.splice(0)) await limiter.close();
  await proxy?.stop();
  proxy = undefined!;
});

const redis = (password: () => Promise<string>, username = USER) =>
  ({
    host: '127.0.0.1',
    port: proxy.port,
    username,
    password,
    tls: { ca: proxy.ca },
    connectTimeoutMs: HANG_MS,
  }) as const;

function limiter(password: () => Promise<string>, username = USER): RateLimiter {
  const options = { name: 'iam', limit: 5, windowMs: 60_000, onStoreError: 'throw', timeoutMs: HANG_MS } as const;
  const made = new RateLimiter({ ...options, redis: redis(password, username) });
  limiters.push(made);
  return made;
}

const iam = (options: Partial<ElastiCacheIamOptions> = {}) =>
  elastiCacheIam({ cache: CACHE, username: USER, region: REGION, credentials: KEY, ...options });

async function failure(made: RateLimiter): Promise<Error & { code?: string }> {
  return made.limit(freshId()).then(
    ({ source }) => Promise.reject(new Error(`${source} decided`)),
    (error) => error,
  );
}

/** The distinct results of logins: a refused limiter retries in the background. */
const reasons = () => [...new Set(proxy.logins)];

describe('a token', () => {
  test('is accepted', async () => {
    await open();
    expect(await limiter(iam()).limit(1)).toMatchObject({ allowed: true, source: 'redis' });
    expect(proxy.logins).toEqual([undefined]);
    const [token] = proxy.tokens;
    expect(token).toMatch(/^limits-of-creators\/\?Action=connect&User=limiter%2B1%40%26%3D%3F&/);
  });

  test('of temporary credentials', async () => {
    await open();
    const session = { ...KEY, sessionToken: "IQoJb3JpZ2lu//+=!'()*~" };
    proxy.keys.set(KEY.accessKeyId, session);
    expect(await limiter(iam({ credentials: session })).limit(1)).toMatchObject({ source: 'redis' });
    expect((await failure(limiter(iam()))).code).toBe('WRONGPASS');
    expect(reasons()).toEqual([undefined, 'X-Amz-Security-Token']);
  });

  test('for a serverless cache', async () => {
    await open({ serverless: true });
    expect(await limiter(iam({ serverless: true })).limit(1)).toMatchObject({ source: 'redis' });
    expect((await failure(limiter(iam()))).code).toBe('WRONGPASS');
    expect(reasons()).toEqual([undefined, 'ResourceType']);
  });

  test.each<[string, Partial<ElastiCacheIamOptions>]>([
    ['X-Amz-Signature', { credentials: { ...KEY, secretAccessKey: 'another' } }],
    ['key', { credentials: { ...KEY, accessKeyId: 'AKIAANOTHER' } }],
    ['User', { username: 'another' }],
    ['host', { cache: 'another' }],
    ['scope', { region: 'us-east-1' }],
    ['a parameter too many', { serverless: true }],
  ])('with a wrong %s is WRONGPASS', async (reason, options) => {
    await open();
    const token = iam(options);
    const error = await failure(limiter(() => token()));
    expect(error.code).toBe('WRONGPASS');
    expect(reasons()).toEqual([reason]);
  });

  test.each([
    // Tokens have whole seconds, and the connect takes time: values near the limit leave ten seconds to spare.
    [890, undefined],
    [901, 'expired'],
    [-299, undefined],
    [-310, 'of the future'],
  ])('whose signer’s clock is %d s behind: %s', async (seconds, reason) => {
    await open();
    proxy.aheadMs = seconds * 1000;
    const outcome = limiter(iam()).limit(1);
    if (reason === undefined) expect(await outcome).toMatchObject({ source: 'redis' });
    else await expect(outcome).rejects.toMatchObject({ code: 'WRONGPASS' });
    expect(reasons()).toEqual([reason]);
  });
});

test('concurrent connects share one token', async () => {
  await open();
  let asked = 0;
  const token = iam({ credentials: async () => (asked++, KEY) });
  const answers = await Promise.all(Array.from({ length: 8 }, () => limiter(token).limit(freshId())));
  expect(answers.map(({ source }) => source)).toEqual(Array(8).fill('redis'));
  expect([proxy.connections, proxy.tokens.size, asked]).toEqual([8, 1, 1]);
});

test('tokens are renewed and keys rotated while checks go on: Redis decides each', async () => {
  await open();
  // Each pair is valid for a minute and a second, so its token is used for one second.
  let made = 0;
  const credentials = async (): Promise<AwsCredentials> => {
    const key = { accessKeyId: `ASIA${made++}`, secretAccessKey: `secret-${made}`, sessionToken: `session-${made}` };
    proxy.keys.set(key.accessKeyId, key);
    return { ...key, expiration: new Date(Date.now() + 61_000) };
  };
  const token = iam({ credentials });
  const traffic = new Traffic(() => redis(token));
  try {
    await until(() => proxy.tokens.size >= 3);
    for (let rotations = 0; rotations < 3; rotations++) {
      // Every earlier signature becomes invalid: a new connection is refused, and retries once with a fresh token.
      proxy.keys.clear();
      await traffic.more(10);
    }
  } finally {
    await traffic.end();
  }
  expect(Object.keys(traffic.sources)).toEqual(['redis']);
  expect(proxy.logins).toContain('key');
  expect(proxy.tokens.size).toBeLessThanOrEqual(made);
});

test('a refused token is not reused', async () => {
  await open();
  let key = KEY;
  const token = iam({ credentials: async () => key });
  expect(await limiter(token).limit(1)).toMatchObject({ source: 'redis' });
  key = { accessKeyId: 'AKIANEXT', secretAccessKey: 'next' };
  proxy.keys.clear();
  proxy.keys.set(key.accessKeyId, key);
  expect(await limiter(token).limit(1)).toMatchObject({ source: 'redis' });
  expect(proxy.logins).toEqual([undefined, 'key', undefined]);
});

test('a connection that the server ends for its age while idle costs no check', async () => {
  await open();
  const made = limiter(iam());
  for (const connections of [1, 2]) {
    expect(await made.limit(1)).toMatchObject({ source: 'redis', remaining: 5 - connections });
    expect(proxy.connections).toBe(connections);
    // Long enough for a health check: the end of the connection may not have arrived yet.
    await pass(QUIET_MS);
    proxy.expire();
    expect(proxy.expired).toBe(connections);
  }
});

test.each<[string, object]>([
  ['a host and nothing about TLS', {}],
  ['a URL of plain text', { url: true }],
])('with %s, no token is sent without TLS', async (_, { url }: { url?: true }) => {
  const fixture = new Fixture();
  const heard: Buffer[] = [];
  try {
    const { host, port } = await fixture.listen((socket, chunk) => {
      if (chunk) heard.push(chunk);
      if (chunk?.includes('AUTH')) socket.write('+OK\r\n');
    });
    const endpoint = url
      ? { url: `redis://${encodeURIComponent(USER)}@${host}:${port}` }
      : { host, port, username: USER };
    const options = { name: 'iam', limit: 5, windowMs: 60_000, onStoreError: 'throw' } as const;
    // Until its first bytes have arrived within the deadline: they get no reply.
    const asked = async () => {
      const made = new RateLimiter({ ...options, redis: { ...endpoint, password: iam() } });
      await expect(made.limit(1)).rejects.toBeInstanceOf(Error);
      await made.close();
    };
    await tryUntil(asked, () => heard.length > 0);
  } finally {
    await fixture.end();
  }
  expect(Buffer.concat(heard).includes('Action=connect')).toBe(false);
});

describe('a credentials source', () => {
  const SECRET = 'Zaunkoenig7Fink';
  const options = { name: 'iam', limit: 5, windowMs: 60_000, timeoutMs: 100 } as const;

  test('that hangs: each check settles by its deadline', async () => {
    await open();
    const hangs = redis(iam({ credentials: () => new Promise(() => {}) }));
    for (const [onStoreError, outcome] of [
      ['throw', expect.objectContaining({ code: 'ETIMEDOUT' })],
      ['local', expect.objectContaining({ source: 'local' })],
    ] as const) {
      await expectDeadline(
        100,
        () => {
          // A new limiter each time: one that knows that Redis is unavailable would not wait for it.
          const made = new RateLimiter({ ...options, name: freshId(), onStoreError, redis: hangs });
          limiters.push(made);
          return made.limit(1).catch((error) => error);
        },
        (result) => expect(result).toEqual(outcome),
      );
    }
  });

  test('that throws: NOAUTH, without the message of its error', async () => {
    await open();
    const throws = () => Promise.reject(new TypeError(`no ${SECRET}`));
    const error = await failure(limiter(iam({ credentials: throws })));
    expect(error.code).toBe('NOAUTH');
    expect(error.message).toContain('elastiCacheIam: options.credentials gave no credentials (TypeError)');
    expect(inspect(error, { showHidden: true, depth: Infinity })).not.toContain(SECRET);
  });

  test('that returns no credentials', async () => {
    await open();
    for (const given of [undefined, {}, { ...KEY, secretAccessKey: 7 }, { ...KEY, expiration: 'soon' }]) {
      const error = await failure(limiter(iam({ credentials: async () => given as never })));
      expect(error.code).toBe('NOAUTH');
      expect(error.message).toContain('options.credentials must return a promise of AWS credentials');
    }
  });

  test('no secret is in an inspected error, limiter or password function', async () => {
    await open();
    const wrong = { ...KEY, secretAccessKey: SECRET, sessionToken: SECRET };
    const token = iam({ credentials: wrong });
    const made = limiter(token);
    const shown = [await failure(made), made, token].map((one) => {
      const all = inspect(one, { showHidden: true, depth: Infinity, getters: true });
      // oxlint-disable-next-line typescript/no-base-to-string, typescript/restrict-template-expressions -- however it shows
      return `${all} ${String(one)} ${JSON.stringify(one)} ${one instanceof Error ? `${one.stack} ${one.cause}` : ''}`;
    });
    expect(proxy.logins.length).toBeGreaterThan(0);
    const [signature] = /X-Amz-Signature=[0-9a-f]{64}/.exec(await token())!;
    for (const text of shown) {
      expect(text).not.toContain(SECRET);
      expect(text).not.toContain(signature);
      expect(text).not.toContain('X-Amz-');
    }
  });
});
