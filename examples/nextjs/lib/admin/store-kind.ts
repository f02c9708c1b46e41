import type { Metrics } from '@huntaze/rate-limit';

// The variables that configure a Redis; an empty one counts as not set.
const REDIS_VARIABLES = ['ELASTICACHE_REDIS_URL', 'REDIS_URL', 'ELASTICACHE_REDIS_HOST', 'REDIS_HOST'];

/**
 * The kind of the store. Past decisions are more reliable than the environment, since `configure` may set a Redis, too;
 * before the first check there is only the environment.
 */
export function storeKind(metrics: Metrics, env: NodeJS.ProcessEnv = process.env): 'redis' | 'embedded' {
  const { allowed, denied, connections } = metrics;
  if (allowed.redis + denied.redis + connections.opened + connections.failed > 0) return 'redis';
  if (allowed.memory + denied.memory > 0) return 'embedded';
  return REDIS_VARIABLES.some((name) => env[name]) ? 'redis' : 'embedded';
}
