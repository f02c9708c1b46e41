// What a route handler needs: headers, and the check in front of it.

import type { CreatorId, CreatorPlan, Decision, RateLimitError, RateLimiter } from '../index.js';

/**
 * The global `Request`, as the DOM library of TypeScript or `@types/node` declares it. Where neither does, what is needed of one.
 */
export type WebRequest = typeof globalThis extends { Request: { prototype: infer Global } }
  ? Global
  : { readonly headers: { get(name: string): string | null } };

/** The global `Response`, likewise. */
export type WebResponse = typeof globalThis extends { Response: { prototype: infer Global } }
  ? Global
  : {
      readonly status: number;
      readonly headers: {
        get(name: string): string | null;
        has(name: string): boolean;
        set(name: string, value: string): void;
        delete(name: string): void;
      };
    };

/** What the headers say of the quota itself. */
export interface RateLimitPolicy {
  /** The policy's name in the IETF fields: 1 to 64 letters, digits, `.`, `_`, `-`; `'default'` when left out. */
  readonly name?: string | undefined;
  /** The window, in ms; told in whole seconds, rounded up. Left out: not told. */
  readonly windowMs?: number | undefined;
}

/**
 * The headers of a decision, or of the {@link RateLimitError} a check rejected with: `X-RateLimit-Limit`,
 * `X-RateLimit-Remaining`, `X-RateLimit-Reset` (Unix seconds), `RateLimit-Policy` and `RateLimit` (the IETF draft
 * "RateLimit header fields for HTTP", version 10), and `Retry-After` (whole seconds, at least 1) for a denial. All are
 * rounded up: who obeys them is never early.
 *
 * `X-RateLimit-Reset` and the `t` of `RateLimit` say when the window is empty again; for a denial, when a lone caller
 * is admitted: it is the moment that matters. (The draft's `t` is when some of the quota is back; with requests left,
 * that is not known, and the whole of it is back no earlier.) Both are by the store's clock, `t` by `resetAfterMs`; of a
 * decision that has none, such as one of your making, an admission's `t` is left out. An error without a `decision` knows
 * its `retryAfter` alone: `X-RateLimit-Reset` is then by this machine's clock.
 *
 * @throws TypeError or RangeError for anything else, with a `code`: `ERR_INVALID_ARG_TYPE` for what is neither of the
 * two or has a field of the wrong type, `ERR_OUT_OF_RANGE` for a number that cannot be, `ERR_INVALID_ARG_VALUE` for an
 * unknown option of the policy or an unusable name.
 * @example
 * return Response.json(body, { status: 429, headers: rateLimitHeaders(error, { windowMs: 3_600_000 }) });
 */
export declare function rateLimitHeaders(
  result: Decision | RateLimitError,
  policy?: RateLimitPolicy,
): Record<string, string>;

/** Who asks, and under which quota: that of a plan, or that of a limiter. */
export type WithRateLimitOptions<
  R extends WebRequest = WebRequest,
  Rest extends unknown[] = unknown[],
  Plan extends CreatorPlan = CreatorPlan,
> = {
  /** Whose quota the request takes from. Reads the body of a `request.clone()` only: the handler wants it, too. */
  readonly id: (request: R, ...rest: Rest) => CreatorId | Promise<CreatorId>;
  /**
   * What a denied caller gets in place of the JSON `{ error, code, retryAfter }` with status 429. The headers of
   * {@link rateLimitHeaders} are added where it does not set them.
   */
  readonly onDenied?:
    ((decision: Decision, request: R, ...rest: Rest) => WebResponse | Promise<WebResponse>) | undefined;
  /**
   * Whether a request with the method `OPTIONS`, such as the preflight of a CORS request, takes from the quota like any other;
   * `false` when left out: it goes to the handler, without asking `id`, and its answer gets no headers.
   */
  readonly countPreflight?: boolean | undefined;
} & (
  | {
      /** The creator's plan; `'pro'` when left out. */
      readonly plan?: CreatorPlan | ((request: R, ...rest: Rest) => Plan | Promise<Plan>) | undefined;
      readonly limiter?: undefined;
    }
  | {
      /** The limiter that is asked, with its own limit, in place of the creators'. */
      readonly limiter: RateLimiter;
      readonly plan?: undefined;
    }
);

/**
 * Puts a check in front of a route handler: of Next.js, of Hono (`(c) => handler(c.req.raw)`), of anything that speaks
 * `Request` and `Response`. The handler runs when the request is allowed; either response gets those headers of
 * {@link rateLimitHeaders} that it does not set itself, on a copy that has the same body. One of another class than the
 * global `Response`, such as a library's, gets them itself, in place of those it got before: make one a request, or two
 * that overlap may both tell what is said to the later. An id or plan that the limiter refuses is answered with 400 and
 * `{ error, code }`. What `id`, `plan` or the handler throws is thrown on, and so is a store error under
 * `onStoreError: 'throw'`. Answers are made of the global `Response`, a polyfill included; where there is none, the route
 * rejects with the code `ERR_RATE_LIMIT_PLATFORM` before anything is taken.
 *
 * A page of another origin reads a 429 only if that allows it, and its headers only if they are exposed:
 *
 * ```ts
 * onDenied: ({ retryAfterMs }) => Response.json({ retryAfterMs }, { status: 429, headers: {
 *   'Access-Control-Allow-Origin': 'https://app.example.com', Vary: 'Origin',
 *   'Access-Control-Expose-Headers': 'Retry-After, RateLimit, RateLimit-Policy' } }),
 * ```
 *
 * @throws TypeError that names the option and what it takes, with the `code` `ERR_INVALID_ARG_TYPE` or
 * `ERR_INVALID_ARG_VALUE`. The route itself rejects with `ERR_INVALID_RETURN_VALUE` where the handler or `onDenied`
 * returns no Response; and before either runs with `ERR_INVALID_ARG_TYPE` or, a RangeError, `ERR_OUT_OF_RANGE` where a
 * limiter of your making returns no decision.
 * @example
 * export const POST = withRateLimit(async (request) => Response.json(await answer(request)), {
 *   id: (request) => sessionOf(request).creatorId,
 *   plan: (request) => sessionOf(request).plan,
 * });
 */
export declare function withRateLimit<
  R extends WebRequest = WebRequest,
  Rest extends unknown[] = unknown[],
  // `const`, or TypeScript takes `async () => 'pro'` for a promise of any string.
  const Plan extends CreatorPlan = CreatorPlan,
>(
  handler: (request: R, ...rest: Rest) => WebResponse | Promise<WebResponse>,
  options: WithRateLimitOptions<R, Rest, Plan>,
): (request: R, ...rest: Rest) => Promise<WebResponse>;
