'use strict';
// The certificate of the tests' servers: for `localhost`, 127.0.0.1 and every name in `.cluster.test`.

const { readFileSync } = require('node:fs');
const { join } = require('node:path');

const file = (name) => join(__dirname, '../fixtures/localhost', name);

const certificate = { ca: file('ca.pem'), cert: file('server.pem'), key: file('server.key') };
const ca = readFileSync(certificate.ca, 'utf8');

/** The options that make a server use TLS alone, on this port and to other servers. */
function tlsOptions(port, { ca, cert, key } = certificate) {
  return [
    ...['--port', 0, '--tls-port', port, '--tls-cluster', 'yes', '--tls-replication', 'yes'],
    ...['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', ca, '--tls-auth-clients', 'no'],
  ];
}

module.exports = { ca, certificate, tlsOptions };
