// The connection of the contenders that use ioredis, as its documentation has it.

import { Redis } from 'ioredis';

/** Resolves to a client that is ready. */
export async function connect({ port, database = 0, ...options }) {
  const redis = new Redis({ host: '127.0.0.1', port, db: database, lazyConnect: true, ...options });
  await redis.connect();
  return redis;
}
