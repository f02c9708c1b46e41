import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

// ElastiCache's checks of an IAM token, implemented independently: Signature Version 4 after AWS's documentation, and
// not by the signing library. (AWS General Reference, "Create a signed AWS API request", query parameters.)

/** An AWS key, as the verifier knows it. */
export interface Key {
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

/** The parameters that a token must be signed for. */
export interface Expected {
  readonly cache: string;
  readonly username: string;
  readonly region: string;
  readonly serverless: boolean;
  readonly keys: ReadonlyMap<string, Key>;
  /** In Unix ms. */
  readonly now: number;
}

const SKEW_MS = 300_000;

const hmac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest();
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

/** Percent-encoding by RFC 3986: every character but letters, digits and `-._~`. */
function encoded(text: string): string {
  const byte = (b: number) => (/[\w.~-]/.test(String.fromCharCode(b)) ? String.fromCharCode(b) : `%${hex(b)}`);
  const hex = (b: number) => b.toString(16).toUpperCase().padStart(2, '0');
  return [...Buffer.from(text)].map(byte).join('');
}

/** The reason for which `token` is refused for `username`; undefined if it is valid. */
export function refusal(token: string, expected: Expected): string | undefined {
  const [, host, text] = /^([^/?#]*)\/\?([^#]*)$/.exec(token) ?? [];
  if (host === undefined || text === undefined) return 'no presigned URL without its scheme';
  const pairs = text.split('&').map((pair) => pair.split('=').map(decodeURIComponent) as [string, string]);
  const query = new Map(pairs);
  if (query.size !== pairs.length) return 'a parameter twice';
  const get = (name: string) => query.get(name) ?? '';
  const [id, day, region, service, end] = get('X-Amz-Credential').split('/');
  const key = expected.keys.get(id ?? '');
  if (key === undefined) return 'key';

  const fixed = {
    Action: 'connect',
    User: expected.username,
    ...(expected.serverless ? { ResourceType: 'ServerlessCache' } : {}),
    'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
    'X-Amz-Expires': '900',
    'X-Amz-SignedHeaders': 'host',
    ...(key.sessionToken === undefined ? {} : { 'X-Amz-Security-Token': key.sessionToken }),
  };
  for (const [name, value] of Object.entries(fixed)) if (get(name) !== value) return name;
  const names = [...Object.keys(fixed), 'X-Amz-Credential', 'X-Amz-Date', 'X-Amz-Signature'];
  if (query.size !== names.length) return 'a parameter too many';
  if (host !== expected.cache.toLowerCase()) return 'host';
  if (region !== expected.region || service !== 'elasticache' || end !== 'aws4_request') return 'scope';

  const date = get('X-Amz-Date');
  const [, y, m, d, h, min, s] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(date) ?? [];
  const signed = Date.parse(`${y}-${m}-${d}T${h}:${min}:${s}Z`);
  if (Number.isNaN(signed) || day !== date.slice(0, 8)) return 'X-Amz-Date';
  if (expected.now >= signed + 900_000) return 'expired';
  if (expected.now < signed - SKEW_MS) return 'of the future';

  const parameters = pairs
    .filter(([name]) => name !== 'X-Amz-Signature')
    .map(([name, value]) => `${encoded(name)}=${encoded(value)}`)
    .sort();
  const request = ['GET', '/', parameters.join('&'), `host:${host}`, '', 'host', sha256('')].join('\n');
  const scope = [day, region, service, end];
  const toSign = ['AWS4-HMAC-SHA256', date, scope.join('/'), sha256(request)].join('\n');
  const signing = scope.reduce<string | Buffer>((k, part) => hmac(k, part!), `AWS4${key.secretAccessKey}`);
  const given = Buffer.from(get('X-Amz-Signature'), 'hex');
  const right = hmac(signing, toSign);
  return given.length === right.length && timingSafeEqual(given, right) ? undefined : 'X-Amz-Signature';
}
