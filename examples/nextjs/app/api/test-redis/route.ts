import { connectionRoute } from '@huntaze/rate-limit';
import { checkToken } from '@/lib/admin/token-attempts';
import { bearerToken, tooManyAttempts } from '@/lib/admin/operator-route';
import { operatorToken } from '@/lib/admin/session';

export const runtime = 'nodejs';
export const dynamic = 'force-dynamic';

const route = connectionRoute({ operatorToken: operatorToken() });

export const { OPTIONS } = route;

/** The token gives access to more than this route: guesses must be limited here, too. */
export async function GET(request: Request): Promise<Response> {
  const [presented, token] = [bearerToken(request.headers), operatorToken()];
  if (presented !== undefined && token !== undefined) {
    const result = await checkToken(request.headers, presented, token);
    if (!result.valid && result.retryAfterMs > 0) return tooManyAttempts(result.retryAfterMs);
  }
  return route.GET(request);
}
