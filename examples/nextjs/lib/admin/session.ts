// The operator's token and the session cookie derived from it. The server keeps no list of sessions: a cookie contains
// its end, signed with a key derived from the token. Another token in the environment ends every session at once;
// signing out only removes the cookie from the browser, and its open pages close their streams.

import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

/** Long enough for a working day. */
const SESSION_MS = 8 * 60 * 60 * 1000;

/** Characters that a header can carry, and a length that cannot be guessed. */
const VALID_TOKEN = /^[\x21-\x7e]{16,}$/;

/** The token that operators share; undefined without a usable one: 16 characters or more, no spaces. */
export function operatorToken(env: NodeJS.ProcessEnv = process.env): string | undefined {
  const token = env.RATE_LIMIT_OPERATOR_TOKEN ?? '';
  return VALID_TOKEN.test(token) ? token : undefined;
}

/** Compares digests, because timingSafeEqual requires inputs of the same length. */
export function equalInConstantTime(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

export interface Session {
  readonly value: string;
  /** Unix ms. */
  readonly until: number;
}

export function newSession(token: string, now = Date.now()): Session {
  const until = now + SESSION_MS;
  // The nonce distinguishes two sessions of one millisecond.
  const claim = `${until}.${randomBytes(12).toString('base64url')}`;
  return { value: `${claim}.${signature(token, claim)}`, until };
}

/** The end of the session; undefined for one that is forged, of another token, or expired. */
export function sessionEnd(token: string, value: string | undefined, now = Date.now()): number | undefined {
  const [, claim, presented] = /^(\d{13}\.[\w-]{16})\.([\w-]{43})$/.exec(value ?? '') ?? [];
  if (claim === undefined || presented === undefined) return undefined;
  if (!equalInConstantTime(presented, signature(token, claim))) return undefined;
  const until = Number.parseInt(claim, 10);
  return until > now ? until : undefined;
}

function signature(token: string, claim: string): string {
  // The key is derived with a label, so that its signatures are valid for sessions only.
  const key = createHmac('sha256', token).update('rate-limit operator session, version 1').digest();
  return createHmac('sha256', key).update(claim).digest('base64url');
}
