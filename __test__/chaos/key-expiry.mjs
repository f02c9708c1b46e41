// I9: every key of a limiter expires, at the latest after its window and the slack; no key is permanent.

/** A key's TTL is refreshed once in each interval of a slack; see check.lua. */
export function slackOf(windowMs) {
  return Math.min(windowMs / 4, 60_000);
}

/** @param moreMs the TTL that a clock jump adds */
export async function expiryViolations(server, limiters, moreMs = 0) {
  const violations = [];
  for (const [name, { windowMs }] of Object.entries(limiters)) {
    for (const [key, ttl] of await ttls(server, `{${name}:*`)) {
      // -2: it expired during the scan; 0: it is about to. A permanent key has -1.
      if (ttl === -2 || (ttl >= 0 && ttl <= windowMs + slackOf(windowMs) + moreMs)) continue;
      violations.push(`${key} lives for ${ttl} ms of ${windowMs}`);
    }
  }
  return violations.length === 0 ? [] : [`${violations.length} keys live too long: ${violations[0]}`];
}

async function ttls(server, pattern) {
  const found = new Map();
  // A cluster has a connection to each primary.
  for (const control of (await server.connectAll?.()) ?? [await server.connect()]) {
    try {
      await ttlsBy(control, pattern, found);
    } finally {
      control.close();
    }
  }
  return found;
}

async function ttlsBy(control, pattern, found) {
  for (let cursor = '0'; ;) {
    const [next, keys] = await control.send('SCAN', cursor, 'MATCH', pattern, 'COUNT', 1000);
    const left = await Promise.all(keys.map((key) => control.send('PTTL', key)));
    keys.forEach((key, i) => found.set(key, left[i]));
    cursor = next;
    if (cursor === '0') return;
  }
}
