import { execFileSync } from 'node:child_process';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { RateLimiter, withRateLimit } from '@huntaze/rate-limit';
import { freshId } from '../support/stores';

// The response of a handler, after withRateLimit has added its headers.

let limiter: RateLimiter;
beforeEach(() => {
  limiter = new RateLimiter({ name: freshId(), limit: 5, windowMs: 60_000, anomaly: false });
});
afterEach(() => limiter.close());

/** The response of a route whose handler returns `response`. */
function answer(response: unknown, id = 'id'): Promise<Response> {
  return withRateLimit(() => response as Response, { id: () => id, limiter })(new Request('http://localhost/'));
}

test('a body is streamed, not buffered', async () => {
  let go!: () => void;
  const gate = new Promise<void>((resolve) => (go = resolve));
  async function* words() {
    yield 'first ';
    await gate;
    yield 'second';
  }
  const response = await answer(new Response(ReadableStream.from(words()).pipeThrough(new TextEncoderStream())));
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  expect(await reader.read()).toEqual({ done: false, value: 'first ' });
  go();
  expect(await reader.read()).toEqual({ done: false, value: 'second' });
  expect((await reader.read()).done).toBe(true);
});

test('the handler is notified when the client disconnects', async () => {
  const cancelled = jest.fn();
  const response = await answer(new Response(new ReadableStream({ cancel: cancelled })));
  await response.body!.cancel('gone');
  expect(cancelled).toHaveBeenCalledWith('gone');
});

test('a redirect, whose headers are immutable', async () => {
  const response = await answer(Response.redirect('http://localhost/elsewhere', 308));
  expect([response.status, response.headers.get('location')]).toEqual([308, 'http://localhost/elsewhere']);
  expect(response.headers.get('x-ratelimit-remaining')).toBe('4');
});

test('status, status text, cookies and an empty body are kept', async () => {
  const headers = [
    ['Set-Cookie', 'a=1; Path=/'],
    ['Set-Cookie', 'b=2'],
  ] as [string, string][];
  const response = await answer(new Response(null, { status: 204, statusText: 'Nothing There', headers }));
  expect([response.status, response.statusText, response.body]).toEqual([204, 'Nothing There', null]);
  expect(response.headers.getSetCookie()).toEqual(['a=1; Path=/', 'b=2']);
});

test('headers of the handler take precedence', async () => {
  const own = { 'x-ratelimit-limit': '7', RateLimit: '"own";r=1' };
  const { headers } = await answer(new Response('', { headers: own }));
  expect([headers.get('x-ratelimit-limit'), headers.get('ratelimit')]).toEqual(['7', '"own";r=1']);
  expect(headers.get('x-ratelimit-remaining')).toBe('4');
});

test('one object returned twice has each caller’s own numbers', async () => {
  const shared = new Response(null, { status: 204 });
  expect((await answer(shared, 'a')).headers.get('x-ratelimit-remaining')).toBe('4');
  expect((await answer(shared, 'a')).headers.get('x-ratelimit-remaining')).toBe('3');
  expect((await answer(shared, 'b')).headers.get('x-ratelimit-remaining')).toBe('4');
  expect([...shared.headers]).toEqual([]);
});

test('a response that cannot be copied is passed on unchanged', async () => {
  const failure = Response.error();
  expect(await answer(failure)).toBe(failure);
});

describe('a response of another class', () => {
  /** As a library might implement one: the body is not where the standard has it. */
  class Foreign {
    status = 201;
    statusText = 'Made';
    constructor(
      readonly headers: Headers,
      readonly body?: unknown,
    ) {}
  }

  test('is recognised, and gets the headers in place', async () => {
    const foreign = new Foreign(new Headers({ 'X-Own': '1' }));
    expect(await answer(foreign)).toBe(foreign);
    expect(Object.fromEntries(foreign.headers)).toMatchObject({ 'x-own': '1', 'x-ratelimit-remaining': '4' });
  });

  test('returned twice has each caller’s own numbers, and keeps no header of a denial', async () => {
    const shared = new Foreign(new Headers({ 'X-RateLimit-Limit': '7' }));
    const numbersOf = async (response: Promise<Response>) => {
      const { headers } = await response;
      return ['limit', 'remaining'].map((name) => headers.get(`x-ratelimit-${name}`));
    };
    expect(await numbersOf(answer(shared, 'a'))).toEqual(['7', '4']);
    expect(await numbersOf(answer(shared, 'a'))).toEqual(['7', '3']);
    expect(await numbersOf(answer(shared, 'b'))).toEqual(['7', '4']);

    await limiter.limit('full', { limit: 1 });
    const full = { limit: (id: string) => limiter.limit(id, { limit: 1 }) } as RateLimiter;
    const returned = () => shared as unknown as Response;
    const denied = withRateLimit(returned, { id: () => 'full', limiter: full, onDenied: returned });
    const { headers } = await denied(new Request('http://localhost/'));
    expect(headers.get('x-ratelimit-remaining')).toBe('0');
    expect(headers.get('retry-after')).toMatch(/^([1-9]|[1-5]\d|60)$/);
    expect(await numbersOf(answer(shared, 'b'))).toEqual(['7', '3']);
    expect(shared.headers.has('retry-after')).toBe(false);
  });

  test('keeps headers that its handler sets meanwhile', async () => {
    const shared = new Foreign(new Headers());
    await answer(shared);
    shared.headers.set('X-RateLimit-Limit', '7');
    shared.headers.append('RateLimit', '"own";r=1');
    const { headers } = await answer(shared);
    expect(headers.get('x-ratelimit-limit')).toBe('7');
    expect(headers.get('ratelimit')).toMatch(/, "own";r=1$/);
    expect(headers.get('x-ratelimit-remaining')).toBe('3');
  });

  test('is copied if its headers are immutable', async () => {
    const body = new Response('text').body;
    const foreign = new Foreign(Response.redirect('http://localhost/', 302).headers, body);
    const response = await answer(foreign);
    expect(response).toBeInstanceOf(Response);
    expect([response.status, response.statusText, await response.text()]).toEqual([201, 'Made', 'text']);
    expect(response.headers.get('x-ratelimit-remaining')).toBe('4');
  });
});

test('Response is read at each call: a framework may replace it later', async () => {
  await limiter.limit('full', { limit: 1 });
  const denied = withRateLimit(() => Response.json({}), { id: () => '', limiter });
  class Later extends Response {}
  const before = globalThis.Response;
  globalThis.Response = Later as typeof Response;
  try {
    expect(await denied(new Request('http://localhost/'))).toHaveProperty('status', 400);
    expect(await answer(new Later('text'))).toBeInstanceOf(Later);
  } finally {
    globalThis.Response = before;
  }
});

describe('on a host whose Response', () => {
  const before = globalThis.Response;
  afterEach(() => (globalThis.Response = before));

  /** As a polyfill implements it: no static functions, no stream of the body. */
  class Polyfill {
    readonly headers: Headers;
    readonly status: number;
    readonly #body: string;
    constructor(body: string, { status = 200, headers }: ResponseInit = {}) {
      this.#body = body;
      this.status = status;
      this.headers = new Headers(headers);
    }
    text = async () => this.#body;
    json = async () => JSON.parse(await this.text());
  }

  test('has no static json: a route answers 200, 429 and 400', async () => {
    globalThis.Response = Polyfill as unknown as typeof Response;
    let id = freshId();
    const route = withRateLimit(() => new Response('text'), { id: () => id, limiter });
    const first = await route(new Request('http://localhost/'));
    expect([first.status, await first.text(), first.headers.get('x-ratelimit-remaining')]).toEqual([200, 'text', '4']);
    for (let i = 0; i < 4; i++) await limiter.limit(id);
    const denied = await route(new Request('http://localhost/'));
    expect([denied.status, denied.headers.get('content-type')]).toEqual([429, 'application/json']);
    expect(await denied.json()).toMatchObject({ code: 'RATE_LIMITED' });
    expect(denied.headers.get('retry-after')).toMatch(/^\d+$/);
    id = '';
    expect(await route(new Request('http://localhost/'))).toHaveProperty('status', 400);
  });

  test('is missing: an error says so, and nothing is taken from the quota', async () => {
    globalThis.Response = undefined as unknown as typeof Response;
    const handler = jest.fn(() => new before('text'));
    const route = withRateLimit(handler, { id: () => 'unlimited', limiter });
    const error = { code: 'ERR_RATE_LIMIT_PLATFORM', message: expect.stringContaining('no global Response') };
    await expect(route(new Request('http://localhost/'))).rejects.toMatchObject(error);
    expect(handler).not.toHaveBeenCalled();
    expect(await limiter.status('unlimited')).toHaveProperty('remaining', 5);
  });
});

describe('a fetched response', () => {
  let upstream: Server;
  let url: string;
  beforeAll(async () => {
    upstream = createServer((_, response) => {
      response.writeHead(200, 'Fine', { 'Content-Type': 'text/plain' });
      response.write('begun ');
      setTimeout(() => response.end('ended'), 50);
    });
    await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}/`;
  });
  afterAll(async () => {
    upstream.closeAllConnections();
    await new Promise((resolve) => upstream.close(resolve));
  });

  test('is forwarded', async () => {
    const response = await answer(await fetch(url));
    expect([response.status, response.statusText]).toEqual([200, 'Fine']);
    expect(response.headers.get('content-type')).toBe('text/plain');
    expect(response.headers.get('x-ratelimit-remaining')).toBe('4');
    expect(await response.text()).toBe('begun ended');
  });

  // Node cancels the body of a fetched response when that is collected, even if the body is still referenced.
  test('is read to its end, whether or not it is collected', () => {
    const fixture = join(__dirname, '../fixtures/forward-response.cjs');
    const env = { ...process.env, REDIS_URL: '' };
    const printed = execFileSync(process.execPath, ['--expose-gc', fixture], { encoding: 'utf8', env });
    expect(printed.trim()).toBe('begun ended');
  });
});
