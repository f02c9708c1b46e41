'use strict';

const { readFileSync } = require('node:fs');

// The package reads these variables, here and in child processes; CHECK_REDIS_PORT alone selects the Redis.
for (const name of Object.keys(process.env)) if (/^(ELASTICACHE_)?REDIS/.test(name)) delete process.env[name];

const { CHECK_REDIS_PORT, CHECK_REDIS_TLS_PORT, CHECK_REDIS_CA } = process.env;

const memory = { name: 'memory', redis: undefined };
const redis = { name: 'redis', redis: { host: '127.0.0.1', port: Number(CHECK_REDIS_PORT) } };

/** The tested stores: each has a name, which is the source of its decisions, and a value of the `redis` option. */
const stores = CHECK_REDIS_PORT ? [memory, redis] : [memory];

/** The `redis` option for the same server over TLS, if there is one. */
const overTls = CHECK_REDIS_TLS_PORT && {
  host: '127.0.0.1',
  port: Number(CHECK_REDIS_TLS_PORT),
  tls: { ca: readFileSync(CHECK_REDIS_CA, 'utf8') },
};

/** Options with which no answer depends on the speed of the machine. */
function patient({ redis }) {
  return {
    redis: redis && { ...redis, connectTimeoutMs: 60_000 },
    timeoutMs: 60_000,
    onStoreError: 'throw',
    denyCacheMs: 0,
    anomaly: false,
  };
}

let ids = 0;

/** A name or an id that no other test uses on this server, in this process or another. */
function fresh() {
  return `check-${process.pid}-${Date.now().toString(36)}-${ids++}`;
}

module.exports = { fresh, overTls, patient, stores };
