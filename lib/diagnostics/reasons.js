'use strict';

/** @import { Troubleshooting } from './troubleshooting.js' */

// Troubleshooting for failures that share their code with another that needs other steps: src/store/error.rs has the reasons, and a
// test sees to it that each is here. As in troubleshooting.js, a stranger may read it.

/** @type {Record<string, Troubleshooting>} */
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

module.exports = { BY_REASON };
