import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { RateLimiter, type RedisOptions } from '@huntaze/rate-limit';
import { Fixture } from '../support/failures';
import { ca, caFile, speaksTls } from '../support/failures/tls';
import { freshId } from '../support/stores';
import { HANG_MS } from '../support/time';

// No option, URL or variable disables verification: with a server that must not be trusted, every plausible attempt is
// refused by name, or changes nothing.

const ASKED = join(__dirname, '../fixtures/check-once.cjs');
const REFUSED = 'ERR_INVALID_ARG_VALUE';
const UNUSABLE = 'ERR_RATE_LIMIT_CONFIG';

const fixture = new Fixture();
let port: number;
let rediss: string;
beforeAll(async () => {
  ({ port } = await speaksTls(fixture));
  rediss = `rediss://127.0.0.1:${port}`;
});
afterAll(() => fixture.end());

/** The result of a limiter with these options: the source of its decision, or the code of the error. */
async function withOptions(redis: unknown): Promise<string | undefined> {
  let limiter: RateLimiter | undefined;
  try {
    const asked = { limit: 5, windowMs: 60_000, onStoreError: 'throw', timeoutMs: HANG_MS } as const;
    limiter = new RateLimiter({ name: freshId(), ...asked, redis: redis as RedisOptions });
    return (await limiter.limit('id')).source;
  } catch (error) {
    return (error as { code?: string }).code;
  } finally {
    await limiter?.close();
  }
}

const others = () =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => !/REDIS|ELASTICACHE|NODE_/.test(name)));

/** The same with the variables that are in the environment at the first check. */
async function withVariables(more: Record<string, string>): Promise<string | undefined> {
  const before = process.env;
  process.env = { ...others(), ...more };
  try {
    return await withOptions(undefined);
  } finally {
    process.env = before;
  }
}

/** The same of a process started with this environment: OpenSSL and Node.js read some variables at start-up. */
async function withEnvironment(more: Record<string, string>, flags: string[] = []): Promise<string> {
  const env = { ...others(), ...more };
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, ASKED], { env });
  return stdout.trim();
}

describe('the control: with the CA configured, the connection succeeds', () => {
  test('by an option', async () => {
    expect(await withOptions({ url: rediss, tls: { ca } })).toBe('redis');
    expect(await withOptions({ host: '127.0.0.1', port, tls: { ca, servername: 'redis.test' } })).toBe('redis');
  });

  test('by a variable', async () => {
    expect(await withVariables({ REDIS_URL: rediss, NODE_EXTRA_CA_CERTS: caFile })).toBe('redis');
    expect(await withEnvironment({ REDIS_URL: rediss, NODE_EXTRA_CA_CERTS: caFile })).toBe('redis');
  });
});

const ENDINGS = ['#insecure', '#', '#verify=none', '?', '?tls=insecure', '?insecure=true', '?ssl_cert_reqs=none'];
const MORE_ENDINGS = ['?ssl=false', '?rejectUnauthorized=false', '?sslmode=no-verify', '/0#insecure', '/?verify=0'];
const SCHEMES = ['rediss+insecure', 'redis+tls', 'rediss-insecure', 'redis+unverified', 'unix'];

describe('a URL', () => {
  test.each([...ENDINGS, ...MORE_ENDINGS])('that ends in %s is refused', async (ending) => {
    expect(await withOptions({ url: rediss + ending })).toBe(REFUSED);
    expect(await withVariables({ REDIS_URL: rediss + ending })).toBe(UNUSABLE);
    expect(await withVariables({ ELASTICACHE_REDIS_URL: rediss + ending })).toBe(UNUSABLE);
  });

  test.each(SCHEMES)('that begins with %s: is refused', async (scheme) => {
    const url = rediss.replace('rediss', scheme);
    expect(await withOptions({ url })).toBe(REFUSED);
    expect(await withVariables({ REDIS_URL: url })).toBe(UNUSABLE);
  });

  test.each(['REDISS', 'RedisS'])('that begins with %s: is TLS, and verified', async (scheme) => {
    expect(await withOptions({ url: rediss.replace('rediss', scheme) })).toBe('TLS');
  });
});

describe('the option tls', () => {
  const unknown: [string, object][] = [
    ['rejectUnauthorized', { rejectUnauthorized: false }],
    ['checkServerIdentity', { checkServerIdentity: () => undefined }],
    ['insecure', { insecure: true }],
    ['verify', { ca: undefined, verify: false }],
    ['ALPN and the like', { secureContext: {} }],
  ];
  test.each(unknown)('refuses %s', async (_, tls) => {
    expect(await withOptions({ url: rediss, tls })).toBe(REFUSED);
    expect(await withOptions({ host: '127.0.0.1', port, tls })).toBe(REFUSED);
  });

  const unusable: [string, unknown][] = [
    ['an empty CA', { ca: '' }],
    ['an invalid CA', { ca: 'none' }],
    ['an empty name', { servername: '' }],
  ];
  test.each(unusable)('refuses %s', async (_, tls) => {
    expect(await withOptions({ url: rediss, tls })).toMatch(/^ERR_(INVALID_ARG_VALUE|OUT_OF_RANGE)$/);
  });

  const illTyped = [null, 0, 'false', 'insecure', { ca: null }, { ca: false }, { ca: [] }, { servername: false }];
  test.each(illTyped)('refuses %j', async (tls) => {
    expect(await withOptions({ url: rediss, tls })).toMatch(/^ERR_INVALID_ARG_(TYPE|VALUE)$/);
  });

  test('refuses false where the URL says rediss:', async () => {
    expect(await withOptions({ url: rediss, tls: false })).toBe(REFUSED);
  });

  const idle: unknown[] = [
    true,
    undefined,
    {},
    { ca: undefined },
    { servername: undefined },
    { servername: 'redis.test' },
  ];
  test.each(idle)('verifies with %j', async (tls) => {
    expect(await withOptions({ url: rediss, tls })).toBe('TLS');
  });

  test('ignores inherited options', async () => {
    const tls = Object.create({ rejectUnauthorized: false, checkServerIdentity: () => undefined });
    expect(await withOptions({ url: rediss, tls })).toBe('TLS');
  });

  test('ignores a CA of Object.prototype', async () => {
    const all = Object.prototype as { ca?: string };
    all.ca = ca;
    try {
      expect(await withOptions({ url: rediss, tls: true })).toBe('TLS');
    } finally {
      delete all.ca;
    }
  });

  test.each(['rejectUnauthorized', 'insecure', 'tlsInsecure'])('has no sibling option %s', async (name) => {
    expect(await withOptions({ url: rediss, [name]: name !== 'rejectUnauthorized' })).toBe(REFUSED);
  });
});

describe('the environment', () => {
  test.each(['ELASTICACHE_REDIS_TLS', 'REDIS_TLS', 'REDIS_SSL_ENABLED'])('%s', async (name) => {
    for (const off of ['false', '0', 'no', 'insecure', 'none']) {
      expect(await withVariables({ REDIS_URL: rediss, [name]: off })).toBe(UNUSABLE);
    }
    expect(await withVariables({ REDIS_URL: rediss, [name]: '' })).toBe('TLS');
    expect(await withVariables({ REDIS_HOST: '127.0.0.1', REDIS_PORT: `${port}`, [name]: 'true' })).toBe('TLS');
  });

  const idle: Record<string, string>[] = [
    { NODE_TLS_REJECT_UNAUTHORIZED: '0' },
    { SSL_CERT_FILE: caFile },
    { SSL_CERT_DIR: join(caFile, '..') },
    { SSL_CERT_FILE: caFile, NODE_OPTIONS: '--use-openssl-ca' },
    { NODE_EXTRA_CA_CERTS: '' },
    { NODE_EXTRA_CA_CERTS: `${caFile}.gone` },
    { NODE_EXTRA_CA_CERTS: '/dev/null' },
    { REDIS_TLS_REJECT_UNAUTHORIZED: 'false', REDIS_TLS_INSECURE: 'true', REDIS_TLS_SKIP_VERIFY: '1' },
    { REDIS_SSL_CERT_REQS: 'none', REDISCLI_AUTH: 'x', PYTHONHTTPSVERIFY: '0', GODEBUG: 'x509ignoreCN=0' },
    { ELASTICACHE_REDIS_TLS: 'true', REDIS_TLS: 'false', REDIS_SSL_ENABLED: 'false' },
  ];
  test.each(idle)('%j changes nothing', async (more) => {
    expect(await withEnvironment({ REDIS_URL: rediss, ...more })).toBe('TLS');
  });

  test.each(['--use-openssl-ca', '--tls-min-v1.0', '--tls-cipher-list=ALL'])('nor does node %s', async (flag) => {
    expect(await withEnvironment({ REDIS_URL: rediss, SSL_CERT_FILE: caFile }, [flag])).toBe('TLS');
  });
});
