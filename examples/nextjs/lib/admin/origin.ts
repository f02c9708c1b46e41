// The origin of a request, by headers that a page of another site cannot forge.

/**
 * Whether a page of this site sent the request. A browser sends Origin with every POST, and Sec-Fetch-Site on a
 * trustworthy connection; one of them must be present, and both must agree. X-Forwarded-Host may be trusted: a page of
 * another site cannot set it without permission.
 */
export function sameOrigin(headers: Headers): boolean {
  const site = headers.get('sec-fetch-site');
  if (site !== null && site !== 'same-origin') return false;
  const origin = headers.get('origin');
  if (origin === null) return site === 'same-origin';
  const host = firstItem(headers.get('x-forwarded-host')) ?? headers.get('host');
  return host !== null && URL.canParse(origin) && new URL(origin).host === host.toLowerCase();
}

/** Whether the browser used https; a proxy in front reports it. */
export function overHttps(headers: Headers): boolean {
  return firstItem(headers.get('x-forwarded-proto')) === 'https';
}

/**
 * The client's address: the last one in X-Forwarded-For, which the nearest proxy has added (or the server itself). The
 * client controls the addresses before it. Without a proxy the client controls the last one, too: the length of the
 * token protects against that.
 */
export function clientAddress(headers: Headers): string {
  const address = headers.get('x-forwarded-for')?.split(',').at(-1)?.trim();
  return address ? address.slice(0, 64) : 'unknown';
}

function firstItem(list: string | null): string | undefined {
  return list?.split(',')[0]?.trim() || undefined;
}
