// The connection of the contenders that use ioredis, as its documentation recommends.

import { Cluster, Redis } from 'ioredis';

/** Resolves to a connected client: of one Redis, or of the cluster to which the server belongs. */
export async function connect({ port, database = 0, cluster = false, ...options }) {
  const [at, more] = [
    { host: '127.0.0.1', port },
    { lazyConnect: true, ...options },
  ];
  const redis = cluster ? new Cluster([at], more) : new Redis({ ...at, db: database, ...more });
  await redis.connect();
  return redis;
}
