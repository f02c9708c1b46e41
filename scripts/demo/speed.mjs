// How many checks a second this process makes, on the same store.

const IN_FLIGHT = 200;
const IDS = 1000;
const LIMIT = 1_000_000;

/** Resolves to checks a second and to the name of who decided them all, or of everyone who did. */
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
    // What went to a Redis is taken away again.
    await Promise.all(['source', ...Array(IDS).keys()].map((id) => limiter.reset(id)));
    await limiter.close();
  }
}
