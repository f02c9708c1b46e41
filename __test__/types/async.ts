// Compiled, never run: callbacks of a route may return values or promises, as plain literals.

import { withRateLimit, type CreatorPlan } from '../../index.js';

declare const answer: () => Promise<Response>;
declare const planOf: (request: Request) => Promise<CreatorPlan>;

withRateLimit(answer, { id: async () => 'a', plan: async () => 'starter' });
withRateLimit(answer, { id: async () => 7, plan: () => 'pro' });
withRateLimit(answer, { id: () => 'a', plan: async (request) => (request.method === 'GET' ? 'pro' : 'business') });
withRateLimit(answer, { id: async (request) => request.url, plan: planOf, onDenied: async () => new Response() });
withRateLimit(async (request: Request, _context: { params: Promise<{ id: string }> }) => Response.json(request.url), {
  id: async (_request, context) => (await context.params).id,
  plan: async (_request, { params }) => ((await params).id === '1' ? 'starter' : 'pro'),
});
// @ts-expect-error no plan
withRateLimit(answer, { id: () => 1, plan: async () => 'gold' });
// @ts-expect-error no plan
withRateLimit(answer, { id: () => 1, plan: () => 'gold' });
// @ts-expect-error no plan, sometimes
withRateLimit(answer, { id: () => 1, plan: async (request) => (request.url ? 'pro' : 'gold') });
// @ts-expect-error no plan
withRateLimit(answer, { id: () => 1, plan: 'gold' });
// @ts-expect-error no id
withRateLimit(answer, { id: async () => true });
