// One of the application's API routes, unchanged: its response to a request, and to one beyond the quota.

/** Creates the handler of POST /api/ai/… for the demonstrated package. */
export function route({ checkCreatorRateLimit, RateLimitError }) {
  return async function POST({ creatorId, plan }) {
    try {
      await checkCreatorRateLimit(creatorId, plan);
    } catch (error) {
      if (error instanceof RateLimitError) {
        return Response.json(
          { error: error.message },
          {
            status: 429,
            headers: {
              'Retry-After': error.retryAfter.toString(),
              'X-RateLimit-Limit': error.limit.toString(),
              'X-RateLimit-Remaining': error.remaining.toString(),
            },
          },
        );
      }
      throw error;
    }
    return Response.json({ answer: 'forty-two' });
  };
}
