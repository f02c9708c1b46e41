'use strict';

const { readFileSync } = require('node:fs');
const { createServer } = require('node:net');

/** Below them are ports of the system, and above (and with them) those that the kernel gives to clients. */
const LOWEST = 10_000;
const HIGHEST = firstOfClients() - 1;

/**
 * Ports of loopback that are free at the moment, and differ. A client gets none of them: a server that is killed finds its port free
 * when it is started again, however many connections are made meanwhile.
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

/** Linux says which ports are for clients; its default is that of most systems, or below. */
function firstOfClients() {
  try {
    return Number(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').split('\t')[0]);
  } catch {
    return 32_768;
  }
}

/** Whether a server has failed to start because its port was taken after it had been found free. */
const isTaken = (error) => /Address already in use|Failed listening/.test(error.message);

module.exports = { freePorts, isTaken };
