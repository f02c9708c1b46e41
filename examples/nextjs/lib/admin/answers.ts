// The JSON answers of the admin routes. Nothing here may be kept by a cache.

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

/** What went wrong with a creator's quota: an id or plan that cannot be, or a store that does not answer. */
export function quotaError(error: unknown): Response {
  if (error instanceof TypeError || error instanceof RangeError) return refusal(400, codeOf(error), error.message);
  return refusal(503, codeOf(error), 'The store did not answer.', { 'Retry-After': '1' });
}
