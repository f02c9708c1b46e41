import { cookies } from 'next/headers';
import { operatorToken, sessionEnd } from '@/lib/admin/session';
import { COOKIE } from '@/lib/admin/session-cookie';
import { Dashboard } from './dashboard';
import { NotConfigured } from './not-configured';
import { SignIn } from './sign-in';

export default async function RateLimitsPage({ searchParams }: PageProps<'/admin/rate-limits'>) {
  // The cookie is read first, because that makes the page dynamic. Otherwise the build would render it, and fix whether
  // there is a token.
  const session = (await cookies()).get(COOKIE)?.value;
  const token = operatorToken();
  if (token === undefined) return <NotConfigured />;
  if (sessionEnd(token, session) === undefined) return <SignIn refused={(await searchParams).refused?.toString()} />;
  return <Dashboard />;
}
