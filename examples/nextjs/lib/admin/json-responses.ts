// The JSON responses of the admin routes. No cache may store them.

export const NO_STORE = { 'Cache-Control': 'no-store' };

export function jsonResponse(body: unknown, status = 200, headers: Record<string, string> = {}): Response {
  return Response.json(body, { status, headers: { ...NO_STORE, ...headers } });
}

export function errorResponse(status: number, code: string, error: string, headers?: Record<string, string>): Response {
  return jsonResponse({ error, code }, status, headers);
}

/** The stable code of an error of the package or of Node.js. */
export function errorCode(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : 'UNKNOWN';
}

/** The error of a request about a creator's quota: an invalid id or plan, or a store that does not answer. */
export function quotaErrorResponse(error: unknown): Response {
  if (error instanceof TypeError || error instanceof RangeError)
    return errorResponse(400, errorCode(error), error.message);
  return errorResponse(503, errorCode(error), 'The store did not answer.', { 'Retry-After': '1' });
}
