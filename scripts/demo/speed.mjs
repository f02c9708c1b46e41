// The number of checks a second in this process, on the same store.

const IN_FLIGHT = 200;
const IDS = 1000;
const LIMIT = 1_000_000;

/** Resolves to checks a second and to the source of all decisions, or the list of sources. */
export async function speed({ RateLimiter }, name) {
  const limiter = new RateLimiter({ name, limit: LIMIT, windowMs: 60_000 });
  const source = new Set();
  let checks = 0;
  const client = async (until) => {
    while (performance.now() < until) {
      await limiter.check(checks++ % IDS);
    }
  };
  try {
    source.add((await limiter.limit('source')).source);
    const start = performance.now();
    await Promise.all(Array.from({ length: IN_FLIGHT }, () => client(start + 1000)));
    const seconds = (performance.now() - start) / 1000;
    source.add((await limiter.limit('source')).source);
    return { perSecond: Math.round(checks / seconds), source: [...source].join(' and ') };
  } finally {
    // Removes the keys from a Redis.
    await Promise.all(['source', ...Array(IDS).keys()].map((id) => limiter.reset(id)));
    await limiter.close();
  }
}
