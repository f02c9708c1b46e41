// Requests of an hour from a handful of creators, within a second.

/**
 * The number of requests of each creator, and the expected result. `anomalies` is one beyond twice the limit in 5
 * minutes.
 */
export const creators = [
  { creator: 'ana', plan: 'starter', calls: 40, allowed: 40, anomalies: 0 },
  { creator: 'ben', plan: 'starter', calls: 60, allowed: 50, anomalies: 0 },
  { creator: 'chloe', plan: 'pro', calls: 120, allowed: 100, anomalies: 0 },
  { creator: 'dario', plan: 'business', calls: 520, allowed: 500, anomalies: 0 },
  // Keeps retrying: the 201st request is more than twice the limit.
  { creator: 'eve', plan: 'pro', calls: 250, allowed: 100, anomalies: 1 },
];

/** Concurrent requests of one creator: a page that loads a few resources at once. */
const CONCURRENT_REQUESTS = 5;

/** Sends the requests of all creators through the route and resolves to each creator's results. */
export async function send(POST, idOf, answered) {
  return Promise.all(
    creators.map(async ({ creator, plan, calls }) => {
      const results = { allowed: 0, denied: 0, retryAfter: 0 };
      let sent = 0;
      const client = async () => {
        while (sent < calls) {
          sent += 1;
          const response = await POST({ creatorId: idOf(creator), plan });
          if (response.status === 200) results.allowed += 1;
          else {
            results.denied += 1;
            results.retryAfter = Number(response.headers.get('Retry-After'));
          }
          answered();
        }
      };
      await Promise.all(Array.from({ length: CONCURRENT_REQUESTS }, client));
      return results;
    }),
  );
}

/** The differences from the plan, as texts. */
export function differences({ creator, calls, allowed, anomalies }, results) {
  const expect = (what, wanted, got) => (wanted === got ? [] : [`${creator}: ${what} ${got}, not ${wanted}`]);
  return [
    ...expect('allowed', allowed, results.allowed),
    ...expect('denied', calls - allowed, results.denied),
    ...expect('anomalies', anomalies, results.anomalies),
    // The first request leaves the window an hour after it was made, and the demo takes a few seconds.
    ...(results.denied > 0 && !(results.retryAfter > 3540 && results.retryAfter <= 3600)
      ? [`${creator}: retry after ${results.retryAfter} s, not within the last minute of an hour`]
      : []),
  ];
}
