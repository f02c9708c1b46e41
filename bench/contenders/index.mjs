// Who is measured. A contender's file has one function:
//
//   open({ port, database, cluster, limit, windowMs, ...options }) -> { check(id) -> Promise<boolean>, close() }
//
// `check` resolves to whether the id is let through; anything but a decision rejects.

const huntaze = { id: 'huntaze', label: '@huntaze/rate-limit', file: 'huntaze.mjs' };
const replaced = { id: 'replaced', label: 'the module being replaced', file: 'replaced.mjs' };
const lua = { id: 'ioredis-lua', label: 'ioredis + Lua script', file: 'ioredis-lua.mjs' };
const flexible = { id: 'flexible', label: 'rate-limiter-flexible', file: 'rate-limiter-flexible.mjs' };
const upstash = { id: 'upstash', label: '@upstash/ratelimit', file: 'upstash.mjs' };
const glide = { id: 'glide', label: 'valkey-glide + Lua script', file: 'valkey-glide.mjs' };

const piped = {
  ...lua,
  id: 'ioredis-lua-piped',
  label: 'ioredis + Lua, auto-pipelining',
  options: { enableAutoPipelining: true },
};

/** All over Redis. */
export const onRedis = [huntaze, replaced, lua, flexible, upstash, glide];

/** The same and, where only the way to Redis matters, a client that sends what one turn of the event loop asks as one. */
export const underLoad = [huntaze, replaced, lua, piped, flexible, upstash, glide];

/** The same, where denials may be told and remembered in more ways than one. */
export const denying = [
  { ...huntaze, id: 'huntaze-check', label: `${huntaze.label}, check()` },
  { ...huntaze, id: 'huntaze-limit', label: `${huntaze.label}, limit()`, options: { through: 'limit' } },
  replaced,
  lua,
  flexible,
  {
    ...flexible,
    id: 'flexible-block',
    label: `${flexible.label}, inMemoryBlockOnConsumed`,
    options: { inMemoryBlock: true },
  },
  upstash,
  { ...upstash, id: 'upstash-cache', label: `${upstash.label}, ephemeralCache`, options: { ephemeralCache: true } },
  glide,
];

/** On a Redis Cluster, and beside them this package on one Redis, in the same minutes. */
export const onCluster = [
  { ...huntaze, id: 'huntaze-one', label: `${huntaze.label} on one Redis` },
  ...[huntaze, lua, piped, flexible, glide].map((contender) => ({
    ...contender,
    id: `${contender.id}-cluster`,
    options: { ...contender.options, cluster: true },
  })),
];

/** What this package's script costs a server, by what travels together: calls in a round trip, and keys in a call. */
export const shapes = [
  ...[1, 4, 16, 64].map((calls) => ({
    id: `calls-${calls}`,
    label: calls === 1 ? 'a node: 1 call of one key' : `a node: ${calls} calls of one key`,
    calls,
    keys: 1,
    options: { cluster: true },
  })),
  { id: 'keys-64', label: 'one Redis: 1 call of 64 keys', calls: 1, keys: 64 },
];

/** Without Redis. */
export const inMemory = [
  { ...huntaze, label: `${huntaze.label}, embedded store` },
  { ...flexible, label: `${flexible.label}, RateLimiterMemory`, file: 'rate-limiter-flexible-memory.mjs' },
];

export const javascriptClients = [replaced, lua, piped, flexible, upstash];

/** How a contender is called in the results, by its id. */
export function labelOf(id) {
  return [...underLoad, ...denying, ...onCluster, ...shapes].find((contender) => contender.id === id).label;
}

/** Opens a contender of these lists. */
export async function open({ file, options }, where) {
  return (await import(`./${file}`)).open({ ...where, ...options });
}
