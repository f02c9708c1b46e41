'use strict';

// Troubleshooting texts for a failed connection test, by the stable code of its error. src/store/error.rs defines the
// codes; a test checks that each has a text.
//
// The texts are public: they name an endpoint only through `at`, which hides what the recipient must not see.

const VPC = 'Check that the application runs in the VPC of the cache, or that its network has a route there.';

/**
 * @typedef {object} Troubleshooting
 * @property {string} meaning
 * @property {string[]} causes
 * @property {(at: EndpointText) => string[]} steps
 * @property {boolean} retryable
 *
 * @typedef {{ host: string, port: string, address: string }} EndpointText
 */

/** @type {Record<string, Troubleshooting>} */
const BY_CODE = {
  ERR_RATE_LIMIT_CONFIG: {
    meaning: 'The configuration cannot work, or names no Redis.',
    causes: [
      'No variable says where Redis is, so quotas are counted in each process alone.',
      'A variable was set for the build and never reached the running server.',
      'A URL that is not redis:// or rediss:// is left from another service, such as the https:// one of Upstash.',
    ],
    steps: () => [
      'Set ELASTICACHE_REDIS_HOST to the primary endpoint, a name alone, or ELASTICACHE_REDIS_URL to a rediss:// URL.',
      'On Amplify, write the variables into .env.production before the build: the server sees no others.',
      'Read the message that an operator gets: it names the variable that does not fit, and the fix.',
    ],
    retryable: false,
  },
  ETIMEDOUT: {
    meaning: 'Redis did not answer in time.',
    causes: [
      'A security group or a network ACL drops the packets: a refusal would have come at once.',
      'The application does not run in the VPC of the cache.',
      'The server takes connections and says nothing: it hangs, or speaks TLS where plain text was sent, or neither.',
      'The node is overloaded, or a long command runs.',
    ],
    steps: (at) => [
      `Allow inbound TCP on ${at.port} in the security group of the ElastiCache node, from that of the application.`,
      VPC,
      'With in-transit encryption, set ELASTICACHE_REDIS_TLS=true or use a rediss:// URL.',
      'Look at EngineCPUUtilization and the slow log of the node.',
    ],
    retryable: true,
  },
  ECONNREFUSED: {
    meaning: 'Nobody listens at that address.',
    causes: [
      'The host or the port is wrong.',
      'The node is restarting, or has been replaced.',
      'A localhost of a development machine was deployed.',
    ],
    steps: (at) => [
      `Compare ${at.address} with the primary endpoint that the ElastiCache console shows, port included.`,
      'Look at the status and the events of the cache: it should be available.',
    ],
    retryable: true,
  },
  ENOTFOUND: {
    meaning: 'The name of the host does not resolve.',
    causes: [
      'The endpoint is misspelled, or its cache was deleted.',
      'DNS resolution or DNS host names are turned off in the VPC.',
      'The resolver did not answer.',
    ],
    steps: (at) => [
      `Copy the primary endpoint from the ElastiCache console in place of ${at.host}, without scheme and port.`,
      'Turn on DNS resolution and DNS host names of the VPC.',
    ],
    retryable: true,
  },
  ECONNRESET: {
    meaning: 'The connection broke, or there is no way to that network.',
    causes: [
      'The node failed over or was restarted.',
      'The server closed the connection in the TLS handshake, as one that has no connection left does.',
      'Something in between, such as a proxy or a NAT gateway, closes connections.',
      'No route leads to the network of the cache.',
    ],
    steps: () => [
      'Once in a while it is nothing: the next check connects anew.',
      'Look at CurrConnections, and at the events of the cache.',
      VPC,
    ],
    retryable: true,
  },
  TLS: {
    meaning: 'The TLS handshake failed.',
    causes: [
      'The certificate is for another name, or from an authority that is not trusted.',
      'It has expired or is not valid yet, or the clock of this machine is wrong.',
      'An alias of the endpoint is used, which its certificate does not have.',
      'TLS was spoken to a port without in-transit encryption, or plain text to one that has it.',
      'The server speaks no version from TLS 1.2 on, or wants a certificate of its clients.',
      'The server shows the certificate of an authority itself, as openssl req -x509 makes it.',
      'The file that NODE_EXTRA_CA_CERTS names cannot be read, or has no certificate in it.',
    ],
    steps: (at) => [
      `Compare ${at.host} with the endpoint that the ElastiCache console shows, or set redis.tls.servername to that.`,
      'Give an authority of your own in NODE_EXTRA_CA_CERTS or redis.tls.ca, and have it sign a certificate for the server.',
      'With in-transit encryption, set ELASTICACHE_REDIS_TLS=true or use a rediss:// URL.',
      'Without it, leave ELASTICACHE_REDIS_TLS unset and use redis:// in place of rediss://.',
      'Read the message that an operator gets: it says which of these it is.',
    ],
    retryable: false,
  },
  NOAUTH: {
    meaning: 'Redis wants a password and was given none.',
    causes: [
      'AUTH is on, and no variable has the token.',
      'The variable did not reach the running server.',
      'The password function failed, or returned nothing.',
    ],
    steps: () => [
      'Set ELASTICACHE_REDIS_AUTH_TOKEN to the token of the cache, and TLS with it: ElastiCache has AUTH only over TLS.',
      'On Amplify, see that the running server gets the variable, not only the build.',
    ],
    retryable: false,
  },
  WRONGPASS: {
    meaning: 'Redis knows none of the passwords.',
    causes: [
      'The token was rotated, and the application has the old one alone.',
      'A user is named that the cache does not have, or the password is for another user.',
    ],
    steps: () => [
      'Rotate in this order: the new token with ROTATE; both tokens in two of the password variables; then SET.',
      'For AUTH without users of your own, leave ELASTICACHE_REDIS_USERNAME unset.',
    ],
    retryable: false,
  },
  NOPERM: {
    meaning: 'The user may not run these commands, or not on these keys.',
    causes: ['The access string of the user lacks a command or the keys of the limiter.'],
    steps: () => [
      'Grant ~{creator:* and +eval +evalsha +time +del +pexpire +lindex +llen +lpop +lpush +lset +ltrim.',
      'On a cluster grant +cluster|slots and +asking too.',
      'For this test grant +ping +set +get too, and +info for the version.',
    ],
    retryable: false,
  },
  READONLY: {
    meaning: 'The node is a replica.',
    causes: ['The reader endpoint is configured.', 'A failover has just made a replica of the primary.'],
    steps: (at) => [
      `Use the primary endpoint of the cache, not the reader's and not that of a node, in place of ${at.host}.`,
      'After a failover, wait: the name of the primary endpoint moves to the new primary.',
    ],
    retryable: true,
  },
  MISCONF: {
    meaning: 'The primary takes no writes for now.',
    causes: ['Fewer replicas are attached than min-replicas-to-write wants.', 'Its disk fails.'],
    steps: () => [
      'Look at the replicas and their lag, and at min-replicas-to-write in the parameter group.',
      'On a server of your own, look at its log and its disk.',
    ],
    retryable: true,
  },
  LOADING: {
    meaning: 'The node reads its data, or has lost its primary.',
    causes: ['It was restarted and loads its snapshot.', 'A replica has no link to its primary, during a failover.'],
    steps: () => ['Wait until the cache is available again.', 'Use the primary endpoint, not that of a replica.'],
    retryable: true,
  },
  OOM: {
    meaning: 'The node is out of memory.',
    causes: [
      'Other data shares the node and fills it.',
      'More creators are active than the node was sized for.',
      'maxmemory-policy is noeviction, as it should be for a limiter, and nothing expires soon enough.',
    ],
    steps: () => [
      'Look at DatabaseMemoryUsagePercentage, and take a larger node type.',
      'Give the limiter a cache of its own. Do not turn on eviction: an evicted log is a forgotten quota.',
    ],
    retryable: true,
  },
  MAXCLIENTS: {
    meaning: 'The node has no connection left.',
    causes: [
      'Somebody leaks connections.',
      'Very many processes and worker threads run, each with redis.connections of them.',
      'maxclients is low.',
    ],
    steps: () => [
      'Look at CurrConnections and at CLIENT LIST: who holds them?',
      'Leave redis.connections at 1, and let other clients share theirs.',
    ],
    retryable: true,
  },
  BUSY: {
    meaning: 'The node is busy with a long script.',
    causes: ['A Lua script of another application runs for longer than busy-reply-threshold.'],
    steps: () => ['Run SCRIPT KILL, and fix that script.', 'Give the limiter a cache of its own.'],
    retryable: true,
  },
  CLUSTER: {
    meaning: 'The server is a cluster, or is none, and the configuration has it otherwise.',
    causes: [
      'redis.cluster or ELASTICACHE_REDIS_CLUSTER says something else than the server does.',
      'A database other than 0 is configured, and a cluster has no other; a serverless cache is a cluster.',
      'The user may not run CLUSTER SLOTS, by which a cluster is recognized.',
      'Nodes of the cluster do not agree on who serves a key, or no node does yet.',
    ],
    steps: () => [
      'Leave redis.cluster and its variables out: the server is asked.',
      'Leave the database out.',
      'Allow the user +cluster|slots, and +asking for slots that move.',
      'Compare what CLUSTER SLOTS says on each node.',
    ],
    retryable: false,
  },
  CLUSTERDOWN: {
    meaning: 'The cluster has no primary for the key at the moment.',
    causes: ['A shard has lost its primary, and no replica has taken over yet.', 'A shard has no replica left.'],
    steps: () => [
      'Wait for the failover: decisions come from the new primary by themselves.',
      'Give every shard a replica in another zone (Multi-AZ).',
    ],
    retryable: true,
  },
  PROTOCOL: {
    meaning: 'The answer makes no sense.',
    causes: [
      'Something else than Redis listens on that port.',
      'A proxy in between mixes or changes answers.',
      'Another application has written the key.',
    ],
    steps: (at) => [
      `Ask what listens at ${at.address}: redis-cli, with the same TLS and AUTH, should get PONG for PING.`,
      'Connect without a proxy in between.',
      'Give the limiter a database or a cache of its own.',
    ],
    retryable: false,
  },
  OVERLOADED: {
    meaning: 'More requests wait in this process than may.',
    causes: ['Requests arrive faster than this process and Redis can decide them.'],
    steps: () => ['Run more processes.', 'Look at the latency of Redis and at its EngineCPUUtilization.'],
    retryable: true,
  },
};

/**
 * Failures that share their code with another one and need other steps, by the reason that src/store/error.rs gives
 * with the code.
 *
 * @type {Record<string, Troubleshooting>}
 */
const BY_REASON = {
  database: {
    meaning: 'Redis has no database of the configured number.',
    causes: [
      'The number is not below the databases of the server, 16 by default.',
      'A number was kept from another server, in REDIS_DATABASE, REDIS_DB, redis.database or the path of the URL.',
    ],
    steps: () => [
      'Leave the database out, or give a number from 0 to one less than the databases of the server.',
      'Ask CONFIG GET databases, or look at the parameter group of the cache.',
    ],
    retryable: false,
  },
  'no-password': {
    meaning: 'A password is configured, and Redis has none for its default user.',
    causes: [
      'AUTH is off on this server, and a variable or the URL has a password from another one.',
      'The password is for a user of its own, and no user is named.',
      'The host is not the server that was meant, such as a development one without a password.',
    ],
    steps: () => [
      'Leave the password out, or turn AUTH on at the server (requirepass).',
      'For a user of your own, set ELASTICACHE_REDIS_USERNAME to its name.',
    ],
    retryable: false,
  },
};

/**
 * For a failure without a code of this package.
 *
 * @type {Troubleshooting}
 */
const UNKNOWN = {
  meaning: 'The test itself failed.',
  causes: ['An error in this package, or a binary that does not fit it.'],
  steps: () => ['Look at the log of the process, which has the error.', 'Install the package anew.'],
  retryable: true,
};

/**
 * @param {string} code
 * @param {string} [reason] Distinguishes failures of the same code.
 */
function troubleshootingFor(code, reason = '') {
  if (Object.hasOwn(BY_REASON, reason)) return BY_REASON[reason];
  return Object.hasOwn(BY_CODE, code) ? BY_CODE[code] : UNKNOWN;
}

/** All codes with a troubleshooting text. */
const CODES = Object.keys(BY_CODE);

module.exports = { troubleshootingFor, BY_REASON, CODES };
