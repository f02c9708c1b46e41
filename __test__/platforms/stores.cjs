'use strict';

const { readFileSync } = require('node:fs');

// The package reads these, here and in the processes that are started from here; a check says where its Redis is.
for (const name of Object.keys(process.env)) if (/^(ELASTICACHE_)?REDIS/.test(name)) delete process.env[name];

const { CHECK_REDIS_PORT, CHECK_REDIS_TLS_PORT, CHECK_REDIS_CA } = process.env;

const memory = { name: 'memory', redis: undefined };
const redis = { name: 'redis', redis: { host: '127.0.0.1', port: Number(CHECK_REDIS_PORT) } };

/** Where limits are kept: each has a name, which is the source of its decisions, and goes into the `redis` option. */
const stores = CHECK_REDIS_PORT ? [memory, redis] : [memory];

/** The `redis` option for the same server over TLS, where there is one. */
const overTls = CHECK_REDIS_TLS_PORT && {
  host: '127.0.0.1',
  port: Number(CHECK_REDIS_TLS_PORT),
  tls: { ca: readFileSync(CHECK_REDIS_CA, 'utf8') },
};

/** Options with which no answer depends on how fast the machine is. */
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

/** A name or an id that nothing else on this server uses, in this process or another. */
function fresh() {
  return `check-${process.pid}-${Date.now().toString(36)}-${ids++}`;
}

module.exports = { fresh, overTls, patient, stores };
