// The JSON responses of the admin routes. No cache may store them.

export const NO_STORE = { 'Cache-Control': 'no-store' };

export function answer(body: unknown, status = 200, headers: Record<string, string> = {}): Response {
  return Response.json(body, { status, headers: { ...NO_STORE, ...headers } });
}

export function refusal(status: number, code: string, error: string, headers?: Record<string, string>): Response {
  return answer({ error, code }, status, headers);
}

/** The stable code of an error of the package or of Node.js. */
export function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : 'UNKNOWN';
}

/** The error of a request about a creator's quota: an invalid id or plan, or a store that does not answer. */
export function quotaError(error: unknown): Response {
  if (error instanceof TypeError || error instanceof RangeError) return refusal(400, codeOf(error), error.message);
  return refusal(503, codeOf(error), 'The store did not answer.', { 'Retry-After': '1' });
}
