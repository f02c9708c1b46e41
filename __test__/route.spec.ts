import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { RateLimitError, checkCreatorRateLimit, close, configure, type CreatorPlan } from '@huntaze/rate-limit';
import { freshId, pass, stores } from './support/stores';
import { HANG_MS, within } from './support/time';

/** The application's route, as documented. */
async function route(creatorId: string, plan: CreatorPlan): Promise<Response> {
  try {
    await checkCreatorRateLimit(creatorId, plan);
    return Response.json({ answer: 'hello' });
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
}

describe.each(stores)('a route in a plain HTTP server, on $name', (store) => {
  let server: Server;
  let url: string;

  beforeAll(async () => {
    await store.start();
    configure({ redis: store.redis(), timeoutMs: HANG_MS, windowMs: 1000, plans: { starter: 3 } });
    server = createServer(async (request, response) => {
      const answer = await route(new URL(request.url!, url).searchParams.get('creator')!, 'starter');
      response.writeHead(answer.status, Object.fromEntries(answer.headers));
      response.end(await answer.text());
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await close();
    await store.stop();
  });

  test('answers 429, and a client that waits for Retry-After is admitted', async () => {
    const ask = (creator: string) => fetch(`${url}/?creator=${creator}`);
    const fourth = async () => {
      const creator = freshId();
      for (let i = 0; i < 3; i++) expect((await ask(creator)).status).toBe(200);
      return { creator, denied: await ask(creator) };
    };
    const { creator, denied } = await within(1000, fourth);
    expect(denied.status).toBe(429);
    expect(await denied.json()).toEqual({ error: 'Rate limit exceeded' });
    expect(denied.headers.get('x-ratelimit-limit')).toBe('3');
    expect(denied.headers.get('x-ratelimit-remaining')).toBe('0');
    const retryAfter = Number(denied.headers.get('retry-after'));
    expect(retryAfter).toBe(1);
    expect((await ask(freshId())).status).toBe(200);
    await pass(retryAfter * 1000);
    expect((await ask(creator)).status).toBe(200);
  });
});
