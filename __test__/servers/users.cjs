'use strict';
// The users of a server with access control: the default user off, the limiter with its permissions, and the tests'
// own.

const { writeFileSync } = require('node:fs');
const { join } = require('node:path');

/** The permissions that docs/failure-modes.md lists, for limiters of any name. */
const LIMITER = '~{* +eval +evalsha +time +del +pexpire +lindex +llen +lpop +lpush +lset +ltrim';
/** The additional commands of a Redis Cluster client. */
const CLUSTER = '+cluster|slots +asking +ping';

const ADMIN = { username: 'admin', password: 'pw-of-the-tests-own' };

/** Writes the users into `folder`; returns the options that load them and the login of a replica to its primary. */
function usersIn(folder, { username, password }) {
  const file = join(folder, 'users.acl');
  const users = [
    // The permissions to read back its own data (`appendonly`), which the server does as the default user.
    'user default off ~* &* +@all',
    `user ${username} on >${password} ${LIMITER} ${CLUSTER}`,
    `user ${ADMIN.username} on >${ADMIN.password} ~* &* +@all`,
  ];
  writeFileSync(file, `${users.join('\n')}\n`);
  return ['--aclfile', file, '--masteruser', ADMIN.username, '--masterauth', ADMIN.password];
}

module.exports = { ADMIN, usersIn };
