import {
  RateLimitError,
  RateLimiter,
  close,
  configure,
  withRateLimit,
  type CreatorId,
  type CreatorPlan,
  type WithRateLimitOptions,
} from '@huntaze/rate-limit';
import type * as RateLimit from '@huntaze/rate-limit';
import { freePort } from '../support/redis';
import { freshId, pass, stores } from '../support/stores';
import { HANG_MS, within } from '../support/time';

const request = (init?: RequestInit) => new Request('http://localhost/answer', init);
const hello = () => Response.json({ answer: 'hello' });

describe.each(stores)('a route of the creators on $name', (store) => {
  beforeAll(() => store.start());
  afterAll(() => store.stop());
  afterEach(() => close());

  test('runs the handler while the quota lasts, and answers 429 from then on', async () => {
    configure({
      redis: store.redis(),
      timeoutMs: HANG_MS,
      windowMs: 3_600_000,
      plans: { starter: 2 },
      anomaly: false,
    });
    const id = freshId();
    const handler = jest.fn(hello);
    const route = withRateLimit(handler, { id: () => id, plan: 'starter' });
    for (const remaining of [1, 0]) {
      const response = await route(request());
      expect(response.status).toBe(200);
      expect(await response.json()).toEqual({ answer: 'hello' });
      expect(Object.fromEntries(response.headers)).toEqual({
        'content-type': 'application/json',
        'x-ratelimit-limit': '2',
        'x-ratelimit-remaining': `${remaining}`,
        'x-ratelimit-reset': expect.stringMatching(/^\d{10}$/),
        'ratelimit-policy': '"default";q=2;w=3600',
        ratelimit: expect.stringMatching(`^"default";r=${remaining};t=3[56]\\d\\d$`),
      });
    }
    const response = await route(request());
    expect(response.status).toBe(429);
    const retryAfter = Number(response.headers.get('retry-after'));
    expect(`${retryAfter}`).toMatch(/^3[56]\d\d$/);
    expect(await response.json()).toEqual({ error: 'Rate limit exceeded', code: 'RATE_LIMITED', retryAfter });
    expect(response.headers.get('ratelimit')).toBe(`"default";r=0;t=${retryAfter}`);
    expect(handler).toHaveBeenCalledTimes(2);
  });

  test('a client that waits for Retry-After is admitted', async () => {
    configure({ redis: store.redis(), timeoutMs: HANG_MS, windowMs: 800, plans: { pro: 1 }, anomaly: false });
    let id: string;
    const route = withRateLimit(hello, { id: () => id });
    const second = async () => {
      id = freshId();
      expect((await route(request())).status).toBe(200);
      return route(request());
    };
    const denied = await within(800, second);
    expect(denied.status).toBe(429);
    await pass(Number(denied.headers.get('retry-after')) * 1000);
    expect((await route(request())).status).toBe(200);
  });
});

describe('the id and the plan', () => {
  beforeEach(() => configure({ plans: { starter: 1, pro: 2, business: 3 }, anomaly: false }));
  afterEach(() => close());

  test('id and plan get the arguments of the handler, and may be asynchronous', async () => {
    type Context = { params: Promise<{ creator: string }> };
    const route = withRateLimit(
      async (_: Request, { params }: Context) => Response.json({ creator: (await params).creator }),
      {
        id: async (_, { params }) => (await params).creator,
        plan: async (asked) => asked.headers.get('x-plan') as CreatorPlan,
      },
    );
    const creator = freshId();
    const context = { params: Promise.resolve({ creator }) };
    const response = await route(request({ headers: { 'x-plan': 'business' } }), context);
    expect(await response.json()).toEqual({ creator });
    expect(response.headers.get('x-ratelimit-limit')).toBe('3');
    const other = await route(request({ headers: { 'x-plan': 'starter' } }), context);
    expect(other.status).toBe(429);
  });

  test('a body read from a clone is still readable in the handler', async () => {
    const id = freshId();
    const route = withRateLimit(async (asked) => new Response(await asked.text()), {
      id: async (asked) => ((await asked.clone().json()) as { id: string }).id,
    });
    const body = JSON.stringify({ id });
    expect(await (await route(request({ method: 'POST', body }))).text()).toBe(body);
  });

  test('the default plan is pro, also if a callback returns undefined', async () => {
    const none = { id: freshId, plan: () => undefined } as unknown as WithRateLimitOptions;
    for (const options of [{ id: freshId }, none]) {
      expect((await withRateLimit(hello, options)(request())).headers.get('x-ratelimit-limit')).toBe('2');
    }
  });

  test('a router with the request in another argument passes it on', async () => {
    const route = withRateLimit(hello, { id: freshId });
    const hono = (c: { req: { raw: Request } }) => route(c.req.raw);
    expect((await hono({ req: { raw: request() } })).status).toBe(200);
  });

  test('a limiter of its own: its limit and its window', async () => {
    const limiter = new RateLimiter({ name: freshId(), limit: 1, windowMs: 59_500, anomaly: false });
    const route = withRateLimit(hello, { id: () => 'same', limiter });
    const response = await route(request());
    expect(response.headers.get('ratelimit-policy')).toBe('"default";q=1;w=60');
    expect((await route(request())).status).toBe(429);
    await limiter.close();
  });

  test('a limiter of another copy of the module limits as well, without its window in the headers', async () => {
    let copy!: typeof RateLimit;
    jest.isolateModules(() => {
      copy = require('@huntaze/rate-limit');
    });
    const limiter = new copy.RateLimiter({ name: freshId(), limit: 1, windowMs: 60_000, anomaly: false });
    const route = withRateLimit(hello, { id: () => 'same', limiter });
    expect((await route(request())).headers.get('ratelimit-policy')).toBe('"default";q=1');
    expect((await route(request())).status).toBe(429);
    await limiter.close();
  });

  test('of many concurrent requests exactly the limit is admitted', async () => {
    const limiter = new RateLimiter({ name: freshId(), limit: 10, windowMs: 60_000, anomaly: false });
    const handler = jest.fn(hello);
    const route = withRateLimit(handler, { id: async () => 'crowd', limiter });
    const responses = await Promise.all(Array.from({ length: 50 }, () => route(request())));
    const admitted = responses.filter((response) => response.status === 200);
    expect(responses.filter((response) => response.status === 429)).toHaveLength(40);
    expect(handler).toHaveBeenCalledTimes(10);
    const left = admitted.map((response) => Number(response.headers.get('x-ratelimit-remaining')));
    expect(left.sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    await limiter.close();
  });

  test('the window in the headers is the effective one, after a configure() too', async () => {
    const route = withRateLimit(hello, { id: freshId });
    expect((await route(request())).headers.get('ratelimit-policy')).toBe('"default";q=2;w=3600');
    await close();
    configure({ windowMs: 5000, anomaly: false });
    expect((await route(request())).headers.get('ratelimit-policy')).toBe('"default";q=100;w=5');
  });
});

test('the window in the headers is that of the check, even if a configure() precedes its answer', async () => {
  const redis = { host: '127.0.0.1', port: await freePort() };
  const first = { redis, onStoreError: 'open', timeoutMs: HANG_MS, windowMs: 60_000, anomaly: false } as const;
  const pending = withRateLimit(hello, { id: freshId })(request());
  // Possible until the first check is made; and no reply of the store arrives between two microtasks.
  for (let i = 0; i < 100; i++) {
    try {
      configure(first);
    } catch {
      break;
    }
    await Promise.resolve();
  }
  const closed = close();
  configure({ windowMs: 5000, anomaly: false });
  expect((await pending).headers.get('ratelimit-policy')).toBe('"default";q=100;w=60');
  await closed;
  configure({});
});

describe('an argument that the limiter refuses is a bad request', () => {
  afterEach(() => close());

  test.each<[unknown, string]>([
    [undefined, 'ERR_INVALID_ARG_TYPE'],
    [null, 'ERR_INVALID_ARG_TYPE'],
    [{}, 'ERR_INVALID_ARG_TYPE'],
    [-1, 'ERR_OUT_OF_RANGE'],
    [NaN, 'ERR_OUT_OF_RANGE'],
    ['', 'ERR_OUT_OF_RANGE'],
    ['x'.repeat(257), 'ERR_OUT_OF_RANGE'],
    ['\ud800', 'ERR_INVALID_ARG_VALUE'],
  ])('an id such as %p', async (id, code) => {
    const handler = jest.fn(hello);
    const limiter = new RateLimiter({ name: freshId(), limit: 1, windowMs: 1000 });
    for (const options of [{ id: () => id as CreatorId }, { id: () => id as CreatorId, limiter }]) {
      const response = await withRateLimit(handler, options)(request());
      expect(response.status).toBe(400);
      expect(await response.json()).toEqual({ error: expect.stringMatching(/^id must be /), code });
    }
    expect(handler).not.toHaveBeenCalled();
    await limiter.close();
  });

  test.each([null, '__proto__', 'PRO', 7])('a plan such as %p', async (plan) => {
    const handler = jest.fn(hello);
    const response = await withRateLimit(handler, { id: freshId, plan: () => plan as CreatorPlan })(request());
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({
      error: expect.stringContaining("plan must be one of 'starter', 'pro', 'business'"),
      code: 'ERR_INVALID_ARG_VALUE',
    });
    expect(handler).not.toHaveBeenCalled();
  });
});

describe('errors are rethrown', () => {
  afterEach(async () => {
    await close();
    configure({});
  });

  // Codes that would be a bad request if the limiter had thrown them.
  const mishaps = ['ERR_INVALID_ARG_TYPE', 'ERR_OUT_OF_RANGE', 'ERR_INVALID_ARG_VALUE', 'ENOENT'].map((code) =>
    Object.assign(new TypeError('mishap'), { code }),
  );
  const fail = (mishap: Error) => () => {
    throw mishap;
  };

  test.each(mishaps)('of id, plan, the handler and onDenied: $code', async (mishap) => {
    const limiter = new RateLimiter({ name: freshId(), limit: 1, windowMs: 60_000, anomaly: false });
    await limiter.check('full');
    const routes = [
      withRateLimit(hello, { id: fail(mishap) }),
      withRateLimit(hello, { id: () => Promise.reject(mishap) }),
      withRateLimit(hello, { id: freshId, plan: fail(mishap) }),
      withRateLimit(fail(mishap), { id: freshId }),
      withRateLimit(() => Promise.reject(mishap), { id: freshId }),
      withRateLimit(hello, { id: () => 'full', limiter, onDenied: fail(mishap) }),
      withRateLimit(hello, { id: freshId, limiter: { limit: () => Promise.reject(mishap) } as unknown as RateLimiter }),
    ];
    for (const route of routes) await expect(route(request())).rejects.toBe(mishap);
    await limiter.close();
  });

  test("of the store under onStoreError: 'throw'", async () => {
    configure({ redis: { host: '127.0.0.1', port: await freePort() }, onStoreError: 'throw', timeoutMs: HANG_MS });
    const handler = jest.fn(hello);
    await expect(withRateLimit(handler, { id: freshId })(request())).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    expect(handler).not.toHaveBeenCalled();
  });

  test.each([undefined, null, 'text', {}, { status: 200, headers: { get: () => null } }])(
    'a handler that returns %p is rejected',
    async (value) => {
      const error = { name: 'TypeError', code: 'ERR_INVALID_RETURN_VALUE' };
      const returned = () => value as unknown as Response;
      await expect(withRateLimit(returned, { id: freshId })(request())).rejects.toMatchObject({
        ...error,
        message: expect.stringMatching(/^handler must return a Response\. Received (type|null)/),
      });
      const limiter = new RateLimiter({ name: freshId(), limit: 1, windowMs: 60_000, anomaly: false });
      await limiter.check('full');
      const route = withRateLimit(hello, { id: () => 'full', limiter, onDenied: returned });
      await expect(route(request())).rejects.toMatchObject({
        ...error,
        message: expect.stringMatching(/^options\.onDenied must return a Response\./),
      });
      await limiter.close();
    },
  );
});

describe('a custom limiter', () => {
  const decision = { allowed: true, limit: 5, remaining: 4, reset: Date.now() + 60_000, retryAfterMs: 0 };
  const routeOf = (answer: unknown, handler = hello, onDenied?: () => Response) =>
    withRateLimit(handler, {
      id: () => 'id',
      limiter: { limit: async () => answer } as unknown as RateLimiter,
      ...(onDenied && { onDenied }),
    });

  test('decides', async () => {
    const response = await routeOf(decision)(request());
    expect(response.headers.get('x-ratelimit-remaining')).toBe('4');
    expect((await routeOf({ ...decision, allowed: false, retryAfterMs: 1 })(request())).status).toBe(429);
  });

  test.each<[unknown, string, string]>([
    [undefined, 'ERR_INVALID_ARG_TYPE', "options.limiter's decision must be a Decision. Received type undefined"],
    [{ allowed: true }, 'ERR_INVALID_ARG_TYPE', "options.limiter's decision.limit must be"],
    [{ allowed: false }, 'ERR_INVALID_ARG_TYPE', "options.limiter's decision.limit must be"],
    [{ ...decision, remaining: -1 }, 'ERR_OUT_OF_RANGE', "options.limiter's decision.remaining must be"],
    [{ ...decision, reset: new Date() }, 'ERR_INVALID_ARG_TYPE', "options.limiter's decision.reset must be"],
    [{ ...decision, retryAfterMs: NaN }, 'ERR_OUT_OF_RANGE', "options.limiter's decision.retryAfterMs must be"],
    [new RateLimitError(1, 5, 0), 'ERR_INVALID_ARG_TYPE', "options.limiter's decision must be a Decision. Received"],
  ])('with the decision %p is rejected before the handler runs', async (answer, code, message) => {
    const [handler, onDenied] = [jest.fn(hello), jest.fn(hello)];
    const error = { code, message: expect.stringContaining(message) };
    await expect(routeOf(answer, handler, onDenied)(request())).rejects.toMatchObject(error);
    expect(handler).not.toHaveBeenCalled();
    expect(onDenied).not.toHaveBeenCalled();
  });
});

test('onDenied replaces the JSON response, with the headers that it does not set itself', async () => {
  const limiter = new RateLimiter({ name: freshId(), limit: 1, windowMs: 60_000, anomaly: false });
  const onDenied = jest.fn(
    async () => new Response('later', { status: 503, headers: { 'Retry-After': '120', 'X-Own': '1' } }),
  );
  const route = withRateLimit((_: Request, word: string) => new Response(word), { id: () => 'id', limiter, onDenied });
  expect(await (await route(request(), 'word')).text()).toBe('word');
  expect(onDenied).not.toHaveBeenCalled();
  const asked = request();
  const response = await route(asked, 'word');
  expect(onDenied).toHaveBeenCalledWith(expect.objectContaining({ allowed: false, limit: 1 }), asked, 'word');
  expect([response.status, await response.text()]).toEqual([503, 'later']);
  expect(Object.fromEntries(response.headers)).toMatchObject({
    'retry-after': '120',
    'x-own': '1',
    'x-ratelimit-remaining': '0',
  });
  await limiter.close();
});

describe('a CORS preflight', () => {
  const preflight = () => request({ method: 'OPTIONS', headers: { 'Access-Control-Request-Method': 'GET' } });
  const cors = { 'Access-Control-Allow-Origin': 'https://app.example.com', Vary: 'Origin' };
  const exposed = { ...cors, 'Access-Control-Expose-Headers': 'Retry-After, RateLimit' };
  const handler = async (request: Request) =>
    request.method === 'OPTIONS' ? new Response(null, { status: 204, headers: cors }) : hello();

  test('takes nothing from a quota, calls no id function, and is passed to the handler', async () => {
    const limiter = new RateLimiter({ name: freshId(), limit: 1, windowMs: 60_000, anomaly: false });
    const id = jest.fn(() => 'page');
    const onDenied = () => new Response(null, { status: 429, headers: exposed });
    const route = withRateLimit(handler, { id, limiter, onDenied });
    for (let i = 0; i < 20; i++) {
      const response = await route(preflight());
      expect([response.status, response.headers.get('ratelimit')]).toEqual([204, null]);
    }
    expect(id).not.toHaveBeenCalled();
    expect((await route(request())).status).toBe(200);
    const denied = await route(request());
    expect([denied.status, denied.headers.get('access-control-allow-origin')]).toEqual([
      429,
      'https://app.example.com',
    ]);
    expect(denied.headers.get('retry-after')).toMatch(/^\d+$/);
    await limiter.close();
  });

  test('counts like any other request with countPreflight', async () => {
    const limiter = new RateLimiter({ name: freshId(), limit: 1, windowMs: 60_000, anomaly: false });
    const route = withRateLimit(handler, { id: () => 'page', limiter, countPreflight: true });
    expect((await route(preflight())).status).toBe(204);
    expect((await route(preflight())).status).toBe(429);
    expect((await route(request())).status).toBe(429);
    await limiter.close();
  });
});

describe('the options are checked when the route is created', () => {
  const limiter = { limit: async () => undefined };
  test.each<[unknown, unknown, string, string]>([
    [undefined, { id: freshId }, 'ERR_INVALID_ARG_TYPE', 'handler must be a function'],
    [hello, undefined, 'ERR_INVALID_ARG_TYPE', 'options must be an object'],
    [hello, {}, 'ERR_INVALID_ARG_TYPE', 'options.id must be a function'],
    [hello, { id: 'me' }, 'ERR_INVALID_ARG_TYPE', 'options.id must be a function'],
    [hello, { id: freshId, plan: 'gold' }, 'ERR_INVALID_ARG_VALUE', 'plan must be one of'],
    [hello, { id: freshId, plan: null }, 'ERR_INVALID_ARG_VALUE', 'plan must be one of'],
    [hello, { id: freshId, limiter: {} }, 'ERR_INVALID_ARG_TYPE', 'options.limiter must be a RateLimiter'],
    [hello, { id: freshId, limiter: null }, 'ERR_INVALID_ARG_TYPE', 'options.limiter must be a RateLimiter'],
    [hello, { id: freshId, limiter, plan: 'pro' }, 'ERR_INVALID_ARG_VALUE', 'options.plan must be left out'],
    [hello, { id: freshId, onDenied: 429 }, 'ERR_INVALID_ARG_TYPE', 'options.onDenied must be a function'],
    [hello, { id: freshId, countPreflight: 1 }, 'ERR_INVALID_ARG_TYPE', 'options.countPreflight must be'],
    [hello, { id: freshId, ondenied: hello }, 'ERR_INVALID_ARG_VALUE', 'options.ondenied must be left out'],
  ])('%p, %p', (handler, options, code, message) => {
    const make = () => withRateLimit(handler as typeof hello, options as WithRateLimitOptions);
    expect(make).toThrow(expect.objectContaining({ code, message: expect.stringContaining(message) }));
  });
});
