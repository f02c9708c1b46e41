import { connectionRoute } from '@huntaze/rate-limit';
import { guess } from '@/lib/admin/token-attempts';
import { bearer, tooManyGuesses } from '@/lib/admin/operator-route';
import { operatorToken } from '@/lib/admin/session';

export const runtime = 'nodejs';
export const dynamic = 'force-dynamic';

const route = connectionRoute({ operatorToken: operatorToken() });

export const { OPTIONS } = route;

/** The token gives access to more than this route: guesses must be limited here, too. */
export async function GET(request: Request): Promise<Response> {
  const [said, token] = [bearer(request.headers), operatorToken()];
  if (said !== undefined && token !== undefined) {
    const result = await guess(request.headers, said, token);
    if (!result.right && result.retryAfterMs > 0) return tooManyGuesses(result.retryAfterMs);
  }
  return route.GET(request);
}
