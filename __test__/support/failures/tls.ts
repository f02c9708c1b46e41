import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { freePort } from '../redis';
import { at, type Failure, type Endpoint, type Fixture } from './fixture';

const file = (name: string) => join(__dirname, '../../fixtures/tls', name);

/** The CA of the tests' servers, in PEM form. */
export const caFile = file('ca.pem');
export const ca = readFileSync(caFile, 'utf8');

/** A real server with TLS as `redis.test`. */
export async function speaksTls(fixture: Fixture): Promise<Endpoint> {
  const port = await freePort();
  const pem = ['--tls-cert-file', file('server.pem'), '--tls-key-file', file('server.key')];
  const authority = ['--tls-ca-cert-file', file('ca.pem'), '--tls-auth-clients', 'no'];
  await fixture.redis('--tls-port', `${port}`, ...pem, ...authority);
  return at(port);
}

/** Servers whose certificate is not trusted, and protocol mismatches. */
export const tls: Failure[] = [
  {
    name: 'a certificate of another authority',
    code: 'TLS',
    caused: true,
    arrange: async (fixture) => ({
      ...(await speaksTls(fixture)),
      tls: { ca: rootCertificates[0], servername: 'redis.test' },
    }),
  },
  {
    name: 'a certificate of no public root',
    code: 'TLS',
    caused: true,
    arrange: async (fixture) => ({ ...(await speaksTls(fixture)), tls: { servername: 'redis.test' } }),
  },
  {
    name: 'a certificate of another name',
    code: 'TLS',
    caused: true,
    arrange: async (fixture) => ({ ...(await speaksTls(fixture)), tls: { ca, servername: 'elsewhere.test' } }),
  },
  {
    name: 'TLS to a plain port that answers',
    code: 'TLS',
    caused: true,
    arrange: async (fixture) => ({
      ...(await fixture.listen((socket, chunk) => void (chunk && socket.write('-ERR Protocol error\r\n')))),
      tls: { ca },
    }),
  },
  {
    // Redis looks for the end of a line in a text that, for Redis, ends at the first zero byte of the handshake. A
    // check that may not wait for half of the connect budget is reported without that hint.
    name: 'TLS to a plain port of Redis, which waits for more, with a short deadline',
    code: 'ETIMEDOUT',
    timeoutMs: 100,
    orElseFromEnvironment: 'TLS',
    arrange: async (fixture) => ({ ...at((await fixture.redis()).port), tls: { ca } }),
  },
  {
    name: 'TLS to a plain port of Redis, which waits for more',
    code: 'TLS',
    connectTimeoutMs: 600,
    orElse: 'ETIMEDOUT',
    arrange: async (fixture) => ({ ...at((await fixture.redis()).port), tls: { ca } }),
  },
  {
    name: 'plain text to a TLS port',
    code: 'TLS',
    // The client has no time left to try plain text or TLS instead.
    orElseFromEnvironment: 'ECONNRESET',
    arrange: speaksTls,
  },
  {
    name: 'plain text to a TLS port that waits for more',
    code: 'TLS',
    connectTimeoutMs: 600,
    orElse: 'ETIMEDOUT',
    arrange: (fixture) =>
      fixture.listen((socket, chunk) => void (chunk?.[0] === 0x16 && socket.write(Buffer.of(0x16, 3, 3, 0, 122)))),
  },
];
