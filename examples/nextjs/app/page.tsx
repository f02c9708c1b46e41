import { getRateLimitStatus, type CreatorPlan } from '@/lib/ai/rate-limit';

const PLANS: readonly CreatorPlan[] = ['starter', 'pro', 'business'];

const TRY = `for i in $(seq 51); do
  curl -s -o /dev/null -w '%{http_code}\\n' localhost:3000/api/ai/chat \\
    -H 'Content-Type: application/json' \\
    -d '{"creatorId": 7, "plan": "starter", "message": "Hello"}'
done`;

export default async function Home() {
  // This page is rendered at build time, when the embedded store answers without a connection.
  const quotas = await Promise.all(PLANS.map((plan) => getRateLimitStatus('nobody', plan)));
  return (
    <main
      style={{ maxWidth: '44rem', margin: '3rem auto', padding: '0 1rem', fontFamily: 'system-ui', lineHeight: 1.5 }}
    >
      <h1>An AI that knows its limits</h1>
      <p>
        This application answers creators at <code>POST /api/ai/chat</code>, as often as their plan allows:
      </p>
      <ul>
        {PLANS.map((plan, i) => (
          <li key={plan}>
            {plan}: {quotas[i]?.limit} requests an hour
          </li>
        ))}
      </ul>
      <p>Use up a quota: the last line says 429.</p>
      <pre style={{ overflowX: 'auto' }}>{TRY}</pre>
      <p>
        Operators see who is near a limit, and how Redis is, at <a href="/admin/rate-limits">/admin/rate-limits</a>;
        whether Redis answers at all is at <a href="/api/test-redis">/api/test-redis</a>.
      </p>
    </main>
  );
}
