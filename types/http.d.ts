// For route handlers: the headers of a decision, and a check in front of a handler.

import type { CreatorId, CreatorPlan, Decision, RateLimitError, RateLimiter } from '../index.js';

/**
 * The global `Request`, as the DOM library of TypeScript or `@types/node` declares it. Without either, the members that are used.
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

/** How the headers describe the quota itself. */
export interface RateLimitPolicy {
  /** The policy's name in the IETF fields: 1 to 64 letters, digits, `.`, `_`, `-`. Default: `'default'`. */
  readonly name?: string | undefined;
  /** The window, in ms: 1 to 2,678,400,000. Sent in whole seconds, rounded up. Default: the window is not sent. */
  readonly windowMs?: number | undefined;
}

/**
 * The headers of a decision, or of the {@link RateLimitError} a check rejected with: `X-RateLimit-Limit`,
 * `X-RateLimit-Remaining`, `X-RateLimit-Reset` (Unix seconds), `RateLimit-Policy` and `RateLimit` (the IETF draft
 * "RateLimit header fields for HTTP", version 10), and `Retry-After` (whole seconds, at least 1) for a denial. All times are
 * rounded up: a client that obeys them is never early.
 *
 * `X-RateLimit-Reset` and the `t` of `RateLimit` say when the window is empty again; for a denial, when a lone caller is
 * admitted, because that time matters to a client. (In the draft `t` is when some of the quota is back. With requests left that
 * time is not known, and the whole quota is back no earlier.) Both use the store's clock, `t` by `resetAfterMs`. For an admission
 * whose decision has no `resetAfterMs`, such as one that you made, `t` is omitted. An error without a `decision` has only its
 * `retryAfter`: then `X-RateLimit-Reset` uses this machine's clock.
 *
 * @throws TypeError or RangeError for other input, with a `code`: `ERR_INVALID_ARG_TYPE` if `result` is neither of the two or has a
 * field of the wrong type, `ERR_OUT_OF_RANGE` for an impossible number, `ERR_INVALID_ARG_VALUE` for an unknown option of the
 * policy or an unusable name.
 * @example
 * return Response.json(body, { status: 429, headers: rateLimitHeaders(error, { windowMs: 3_600_000 }) });
 */
export declare function rateLimitHeaders(
  result: Decision | RateLimitError,
  policy?: RateLimitPolicy,
): Record<string, string>;

/** The options of {@link withRateLimit}: the id of a request, and its quota, which is that of a plan or of a limiter. */
export type WithRateLimitOptions<
  R extends WebRequest = WebRequest,
  Rest extends unknown[] = unknown[],
  Plan extends CreatorPlan = CreatorPlan,
> = {
  /** The id whose quota the request takes from. Read the body of a `request.clone()` only: the handler needs the body, too. */
  readonly id: (request: R, ...rest: Rest) => CreatorId | Promise<CreatorId>;
  /**
   * The response to a denied request. The headers of {@link rateLimitHeaders} are added unless it sets them. Default: status 429
   * with the JSON `{ error, code, retryAfter }`, `retryAfter` in whole seconds.
   */
  readonly onDenied?:
    ((decision: Decision, request: R, ...rest: Rest) => WebResponse | Promise<WebResponse>) | undefined;
  /**
   * Whether a request with the method `OPTIONS`, such as the preflight of a CORS request, takes from the quota like any other. If
   * not, it goes to the handler without a call of `id`, and its response gets no headers. Default: `false`.
   */
  readonly countPreflight?: boolean | undefined;
} & (
  | {
      /** The creator's plan. Default: `'pro'`. */
      readonly plan?: CreatorPlan | ((request: R, ...rest: Rest) => Plan | Promise<Plan>) | undefined;
      readonly limiter?: undefined;
    }
  | {
      /** The limiter that decides, with its own limit. Default: the creators' limiter. */
      readonly limiter: RateLimiter;
      readonly plan?: undefined;
    }
);

/**
 * Puts a check in front of a route handler of Next.js, of Hono (`(c) => handler(c.req.raw)`), or of any framework with `Request`
 * and `Response`. The handler runs when the request is allowed.
 *
 * - Headers: the response to an allowed and to a denied request gets those headers of {@link rateLimitHeaders} that it does not set,
 *   on a copy with the same body. A response of another class than the global `Response`, such as a library's, gets them itself,
 *   and they replace those of an earlier request: make a new response for each request, or two overlapping requests may both
 *   carry the headers of the later one.
 * - Errors: an id or plan that the limiter refuses gets status 400 and the JSON `{ error, code }`. Errors that `id`, `plan` or the
 *   handler throws pass through, and so does a store error under `onStoreError: 'throw'`.
 * - Responses are made with the global `Response`, a polyfill included. Without one the route rejects with the code
 *   `ERR_RATE_LIMIT_PLATFORM` before it takes anything from the quota.
 *
 * A page of another origin can read a 429 only if the response allows it, and its headers only if they are exposed:
 *
 * ```ts
 * onDenied: ({ retryAfterMs }) => Response.json({ retryAfterMs }, { status: 429, headers: {
 *   'Access-Control-Allow-Origin': 'https://app.example.com', Vary: 'Origin',
 *   'Access-Control-Expose-Headers': 'Retry-After, RateLimit, RateLimit-Policy' } }),
 * ```
 *
 * @throws TypeError that names the option and what it takes, with the `code` `ERR_INVALID_ARG_TYPE` or
 * `ERR_INVALID_ARG_VALUE`. The route itself rejects with `ERR_INVALID_RETURN_VALUE` if the handler or `onDenied` returns no
 * Response; and, before either runs, with `ERR_INVALID_ARG_TYPE` or, as a RangeError, `ERR_OUT_OF_RANGE` if a limiter that you
 * made returns no decision.
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
