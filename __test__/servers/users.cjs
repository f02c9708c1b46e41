'use strict';
// Users as a server with access control has them: nobody by default, the limiter with its rights, and the tests' own.

const { writeFileSync } = require('node:fs');
const { join } = require('node:path');

/** What docs/failure-modes.md tells an operator to grant, to a limiter of any name. */
const LIMITER = '~{* +eval +evalsha +time +del +pexpire +lindex +llen +lpop +lpush +lset +ltrim';
/** What a client of a Redis Cluster says besides. */
const CLUSTER = '+cluster|slots +asking +ping';

const ADMIN = { username: 'admin', password: 'pw-of-the-tests-own' };

/** Writes them into `folder`; what tells a server of them, and how it logs in to its primary. */
function usersIn(folder, { username, password }) {
  const file = join(folder, 'users.acl');
  const users = [
    // Its rights are for what a server reads back of its own (`appendonly`): as nobody else.
    'user default off ~* &* +@all',
    `user ${username} on >${password} ${LIMITER} ${CLUSTER}`,
    `user ${ADMIN.username} on >${ADMIN.password} ~* &* +@all`,
  ];
  writeFileSync(file, `${users.join('\n')}\n`);
  return ['--aclfile', file, '--masteruser', ADMIN.username, '--masterauth', ADMIN.password];
}

module.exports = { ADMIN, usersIn };
