'use strict';

const { readFileSync } = require('node:fs');
const { createServer } = require('node:net');

/** Below them are ports of the system; above, and including HIGHEST + 1, those that the kernel gives to clients. */
const LOWEST = 10_000;
const HIGHEST = firstOfClients() - 1;

/**
 * Distinct loopback ports that are free at the moment. The kernel gives none of them to clients: a killed server finds
 * its port free at its restart, however many connections are opened meanwhile.
 */
async function freePorts(count, host = '127.0.0.1') {
  const ports = new Set();
  while (ports.size < count) {
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST + 1));
    if (await isFree(port, host)) ports.add(port);
  }
  return [...ports];
}

function isFree(port, host) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, host, () => server.close(() => resolve(true)));
  });
}

/** On Linux the range of client ports is a setting; its default is that of most systems, or below. */
function firstOfClients() {
  try {
    return Number(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').split('\t')[0]);
  } catch {
    return 32_768;
  }
}

/** Whether a server has failed to start because another process took its port after it was found free. */
const isTaken = (error) => /Address already in use|Failed listening/.test(error.message);

module.exports = { freePorts, isTaken };
