/** The rate-limit headers as numbers; an absent one is undefined, an invalid one NaN. */
export interface Limits {
  readonly limit?: number;
  readonly remaining?: number;
  /** Unix seconds. */
  readonly reset?: number;
  readonly retryAfter?: number;
  /** The IETF fields: quota and window of the policy; the remaining requests, and for how many seconds. */
  readonly policy?: { readonly name: string; readonly q: number; readonly w: number };
  readonly rateLimit?: { readonly name: string; readonly r: number; readonly t: number };
}

export function limitsOf({ headers }: Response): Limits {
  const { name, q, w } = field(headers.get('RateLimit-Policy'));
  const { name: of, r, t } = field(headers.get('RateLimit'));
  return {
    limit: integer(headers.get('X-RateLimit-Limit')),
    remaining: integer(headers.get('X-RateLimit-Remaining')),
    reset: integer(headers.get('X-RateLimit-Reset')),
    retryAfter: integer(headers.get('Retry-After')),
    policy: name === undefined ? undefined : { name, q: Number(q), w: Number(w) },
    rateLimit: of === undefined ? undefined : { name: of, r: Number(r), t: Number(t) },
  };
}

/** A list of one string with integer parameters, after RFC 9651. */
function field(text: string | null): Record<string, string | undefined> {
  const [, name, parameters] = /^"([\w.-]+)"((?:;[a-z]+=\d+)*)$/.exec(text ?? '') ?? [];
  if (name === undefined) return {};
  const pairs = parameters!
    .split(';')
    .filter(Boolean)
    .map((pair) => pair.split('=') as [string, string]);
  return { ...Object.fromEntries(pairs), name };
}

function integer(text: string | null): number | undefined {
  if (text === null) return undefined;
  return /^\d+$/.test(text) ? Number(text) : Number.NaN;
}
