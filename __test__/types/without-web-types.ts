// Compiled, never run, with neither the DOM library nor @types/node: everything but routes is unchanged, and a route
// accepts any object with the headers that it needs.

import { RateLimitError, RateLimiter, checkCreatorRateLimit, withRateLimit, type WebResponse } from '../../index.js';

// @ts-expect-error there is none
export type None = Request;

declare const answer: () => Promise<WebResponse>;
const limiter = new RateLimiter({ name: 'x', limit: 1, windowMs: 1000 });
const route = withRateLimit(answer, { id: (request) => request.headers.get('x-id') ?? '', limiter });
void route({ headers: { get: () => null } }).then((response) => response.headers.set('x-status', `${response.status}`));
// @ts-expect-error no request
void route({});
// @ts-expect-error no response
withRateLimit(() => ({ status: 200 }), { id: () => 1 });

checkCreatorRateLimit(1, 'pro').catch((error: unknown) => {
  if (error instanceof RateLimitError) error.retryAfter.toFixed();
});
