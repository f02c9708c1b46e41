import type { Metrics } from '@huntaze/rate-limit';

// The variables that name a Redis; an empty one counts as not set.
const PLACES = ['ELASTICACHE_REDIS_URL', 'REDIS_URL', 'ELASTICACHE_REDIS_HOST', 'REDIS_HOST'];

/**
 * Where quotas live. What has happened tells more than the environment, since `configure` may name a Redis, too; before the
 * first check there is the environment alone.
 */
export function storeKind(metrics: Metrics, env: NodeJS.ProcessEnv = process.env): 'redis' | 'embedded' {
  const { allowed, denied, connections } = metrics;
  if (allowed.redis + denied.redis + connections.opened + connections.failed > 0) return 'redis';
  if (allowed.memory + denied.memory > 0) return 'embedded';
  return PLACES.some((name) => env[name]) ? 'redis' : 'embedded';
}
