// The access control of every admin route except the sign-in.

import type { NextRequest } from 'next/server';
import { errorResponse } from './json-responses';
import { checkToken } from './token-attempts';
import { processState } from './process-state';
import { sameOrigin } from './origin';
import { operatorToken, sessionEnd } from './session';
import { COOKIE } from './session-cookie';

/** What a handler knows about the operator. */
export interface Operator {
  /** When the session expires, in Unix ms; Infinity if the token itself was sent as a bearer token. */
  readonly until: number;
}

type Handler = (request: NextRequest, operator: Operator) => Response | Promise<Response>;

/** Admits operators by `Authorization: Bearer`, or by the session cookie if a page of this site sends the request. */
export function operatorRoute(handler: Handler): (request: NextRequest) => Promise<Response> {
  return async (request) => {
    if (processState.shuttingDown) return shuttingDown();
    const operator = await operatorOf(request);
    return operator instanceof Response ? operator : handler(request, operator);
  };
}

export const notConfigured = () =>
  errorResponse(
    403,
    'NO_OPERATOR_TOKEN',
    'Set RATE_LIMIT_OPERATOR_TOKEN on the server, 16 characters or more without spaces, to open this.',
  );

export const tooManyAttempts = (retryAfterMs: number) =>
  errorResponse(429, 'RATE_LIMITED', 'Too many wrong tokens.', { 'Retry-After': `${Math.ceil(retryAfterMs / 1000)}` });

async function operatorOf(request: NextRequest): Promise<Operator | Response> {
  const token = operatorToken();
  if (token === undefined) return notConfigured();
  const { headers } = request;
  const presented = bearerToken(headers);
  if (presented !== undefined) {
    const result = await checkToken(headers, presented, token);
    if (result.valid) return { until: Infinity };
    return result.retryAfterMs > 0 ? tooManyAttempts(result.retryAfterMs) : notSignedIn();
  }
  const until = sessionEnd(token, request.cookies.get(COOKIE)?.value);
  if (until === undefined) return notSignedIn();
  // The browser sends the cookie with requests of other sites, too; a change must come from our own page.
  const readOnly = request.method === 'GET' || request.method === 'HEAD';
  if (!readOnly && !sameOrigin(headers)) return crossOrigin();
  return { until };
}

/** The token in the Authorization header. */
export function bearerToken(headers: Headers): string | undefined {
  return /^Bearer +(\S+) *$/i.exec(headers.get('authorization') ?? '')?.[1];
}

// `Connection: close`, because a page whose stream was ended reconnects on its existing connection: the server would
// wait for the new stream, too.
const shuttingDown = () =>
  errorResponse(503, 'ENDING', 'The server is about to end.', { Connection: 'close', 'Retry-After': '1' });

export const crossOrigin = () => errorResponse(403, 'CROSS_ORIGIN', 'This must be sent by a page of this site.');

const notSignedIn = () =>
  errorResponse(401, 'NOT_SIGNED_IN', 'Sign in first, or send the operator token as a bearer token.', {
    'WWW-Authenticate': 'Bearer realm="rate limits"',
  });
