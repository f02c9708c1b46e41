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
const AT_ONCE = 5;

/** Sends the requests of all creators through the route and resolves to each creator's results. */
export async function send(POST, idOf, answered) {
  return Promise.all(
    creators.map(async ({ creator, plan, calls }) => {
      const seen = { allowed: 0, denied: 0, retryAfter: 0 };
      let sent = 0;
      const client = async () => {
        while (sent < calls) {
          sent += 1;
          const response = await POST({ creatorId: idOf(creator), plan });
          if (response.status === 200) seen.allowed += 1;
          else {
            seen.denied += 1;
            seen.retryAfter = Number(response.headers.get('Retry-After'));
          }
          answered();
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, client));
      return seen;
    }),
  );
}

/** The differences from the plan, as texts. */
export function faults({ creator, calls, allowed, anomalies }, seen) {
  const expect = (what, wanted, got) => (wanted === got ? [] : [`${creator}: ${what} ${got}, not ${wanted}`]);
  return [
    ...expect('allowed', allowed, seen.allowed),
    ...expect('denied', calls - allowed, seen.denied),
    ...expect('anomalies', anomalies, seen.anomalies),
    // The first request leaves the window an hour after it was made, and the demo takes a few seconds.
    ...(seen.denied > 0 && !(seen.retryAfter > 3540 && seen.retryAfter <= 3600)
      ? [`${creator}: retry after ${seen.retryAfter} s, not within the last minute of an hour`]
      : []),
  ];
}
