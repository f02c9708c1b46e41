import type { CreatorPlan } from '@/lib/ai/rate-limit';

/** The request of a creator. A real application takes creator and plan from the session, not from the body. */
export interface Chat {
  readonly creatorId: number | string;
  readonly plan: CreatorPlan;
  readonly message: string;
}

/** The error of an invalid request: the field, and its valid values. */
export interface Problem {
  readonly field: 'body' | keyof Chat;
  readonly error: string;
}

const PLANS: readonly CreatorPlan[] = ['starter', 'pro', 'business'];
const MAX_MESSAGE = 4000;

/** Parses the body of a request. The limiter itself validates ids and refuses invalid ones. */
export function parseChat(body: string): Chat | Problem {
  let chat: unknown;
  try {
    chat = JSON.parse(body);
  } catch {
    return problem('body', 'must be JSON, such as {"creatorId": 7, "plan": "starter", "message": "Hello"}');
  }
  if (typeof chat !== 'object' || chat === null || Array.isArray(chat)) return problem('body', 'must be a JSON object');
  const { creatorId, plan = 'pro', message } = chat as Record<string, unknown>;
  if (typeof creatorId !== 'number' && typeof creatorId !== 'string') {
    return problem('creatorId', 'must be a number or a string: the id of the creator who asks');
  }
  if (!isPlan(plan)) return problem('plan', `must be one of ${PLANS.join(', ')}; left out, it is pro`);
  if (typeof message !== 'string' || message.trim() === '')
    return problem('message', 'must be a text that is not empty');
  if (message.length > MAX_MESSAGE)
    return problem('message', `must be at most ${MAX_MESSAGE} characters long; shorten it`);
  return { creatorId, plan, message };
}

function isPlan(plan: unknown): plan is CreatorPlan {
  return PLANS.includes(plan as CreatorPlan);
}

function problem(field: Problem['field'], requirement: string): Problem {
  return { field, error: `${field} ${requirement}` };
}
