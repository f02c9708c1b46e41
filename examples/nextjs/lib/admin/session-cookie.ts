import { overHttps } from './origin';
import type { Session } from './session';

export const COOKIE = 'rate_limit_operator';

// The page and its API share no path but the root, which would send the cookie with every request of the site.
const PATHS = ['/admin/rate-limits', '/api/admin'];

/** The headers that set the cookie, or remove it. */
export function sessionCookies(headers: Headers, session: Session | undefined): [string, string][] {
  const value = session?.value ?? '';
  const age = session ? Math.floor((session.until - Date.now()) / 1000) : 0;
  const secure = overHttps(headers) ? '; Secure' : '';
  return PATHS.map((path) => [
    'Set-Cookie',
    `${COOKIE}=${value}; Path=${path}; Max-Age=${age}; HttpOnly; SameSite=Strict${secure}`,
  ]);
}
