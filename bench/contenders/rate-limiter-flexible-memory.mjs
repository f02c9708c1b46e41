// rate-limiter-flexible's store in memory.

import { RateLimiterMemory } from 'rate-limiter-flexible';
import { consume } from './consume.mjs';

export async function open({ limit, windowMs }) {
  const limiter = new RateLimiterMemory({ points: limit, duration: windowMs / 1000 });
  return { check: (id) => consume(limiter, id), close() {} };
}
