// The contenders. A contender's file has one function:
//
//   open({ port, database, cluster, limit, windowMs, ...options }) -> { check(id) -> Promise<boolean>, close() }
//
// `check` resolves to whether the id is admitted; anything but a decision rejects.

const huntaze = { id: 'huntaze', label: '@huntaze/rate-limit', file: 'huntaze.mjs' };
const replaced = { id: 'replaced', label: 'the module being replaced', file: 'ioredis-pipeline.mjs' };
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

/** Every contender that uses one Redis. */
export const onRedis = [huntaze, replaced, lua, flexible, upstash, glide];

/** Those of `onRedis`, and ioredis with auto-pipelining, which matters where only the round trip is measured. */
export const underLoad = [huntaze, replaced, lua, piped, flexible, upstash, glide];

/** Those of `onRedis`, with the variants that report or cache denials differently. */
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

/** Contenders on a Redis Cluster; and this package on one Redis, measured in the same round for comparison. */
export const onCluster = [
  { ...huntaze, id: 'huntaze-one', label: `${huntaze.label} on one Redis` },
  ...[huntaze, lua, piped, flexible, glide].map((contender) => ({
    ...contender,
    id: `${contender.id}-cluster`,
    options: { ...contender.options, cluster: true },
  })),
];

/** The server's cost of this package's script by batch shape: calls in a round trip, and keys in a call. */
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

/** Contenders that decide in this process, without Redis. */
export const inMemory = [
  { ...huntaze, label: `${huntaze.label}, embedded store` },
  { ...flexible, label: `${flexible.label}, RateLimiterMemory`, file: 'rate-limiter-flexible-memory.mjs' },
];

export const javascriptClients = [replaced, lua, piped, flexible, upstash];

/** The label of a contender in the results, by its id. */
export function labelOf(id) {
  return [...underLoad, ...denying, ...onCluster, ...shapes].find((contender) => contender.id === id).label;
}

/** Opens a contender of these lists. */
export async function open({ file, options }, connection) {
  return (await import(`./${file}`)).open({ ...connection, ...options });
}
