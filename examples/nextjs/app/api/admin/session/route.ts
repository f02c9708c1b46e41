// Signing in and out. A script gets a status, and a plain form a redirect to the page.

import type { NextRequest } from 'next/server';
import { jsonResponse, NO_STORE, errorResponse } from '@/lib/admin/json-responses';
import { readBody } from '@/lib/request-body';
import { checkToken } from '@/lib/admin/token-attempts';
import { crossOrigin, notConfigured, operatorRoute, tooManyAttempts } from '@/lib/admin/operator-route';
import { sameOrigin } from '@/lib/admin/origin';
import { newSession, operatorToken, type Session } from '@/lib/admin/session';
import { sessionCookies } from '@/lib/admin/session-cookie';

const PAGE = '/admin/rate-limits';

/** Whether the session is valid, and until when. */
export const GET = operatorRoute((_request, { until }) =>
  jsonResponse({ until: Number.isFinite(until) ? until : null }),
);

export async function POST(request: NextRequest): Promise<Response> {
  const token = operatorToken();
  if (token === undefined) return notConfigured();
  // Without this check another site could sign an operator in, or use up the attempts of the operator's address.
  if (!sameOrigin(request.headers)) return crossOrigin();
  const plainForm = request.headers.get('accept')?.includes('text/html') ?? false;
  const body = await readBody(request);
  if (body === undefined) return errorResponse(413, 'TOO_LONG', 'That is no token.');
  const presented = new URLSearchParams(body).get('token') ?? '';
  const result = await checkToken(request.headers, presented, token);
  if (result.valid) return withCookies(request, newSession(token), plainForm);
  const limited = result.retryAfterMs > 0;
  if (plainForm) return backToPage(`?refused=${limited ? 'limited' : 'wrong'}`);
  return limited
    ? tooManyAttempts(result.retryAfterMs)
    : errorResponse(401, 'WRONG_TOKEN', 'That is not the operator token.');
}

/** Signs out. It needs no session, because without one it changes nothing. */
export function DELETE(request: NextRequest): Response {
  return sameOrigin(request.headers) ? withCookies(request, undefined, false) : crossOrigin();
}

function withCookies(request: NextRequest, session: Session | undefined, plainForm: boolean): Response {
  const response = plainForm ? backToPage() : new Response(null, { status: 204, headers: NO_STORE });
  for (const [name, value] of sessionCookies(request.headers, session)) response.headers.append(name, value);
  return response;
}

// The location is relative, because behind a proxy the server does not know its own address.
function backToPage(query = ''): Response {
  return new Response(null, { status: 303, headers: { ...NO_STORE, Location: `${PAGE}${query}` } });
}
