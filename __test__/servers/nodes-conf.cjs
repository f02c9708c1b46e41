'use strict';
// Who is who in the cluster at its start, and the file by which each node knows. Every node is started with the whole
// cluster in its nodes.conf, as after a restart: nobody has to meet anybody, no replica has to be assigned.

const { writeFileSync } = require('node:fs');
const { join } = require('node:path');

/** Primaries; each has one replica. */
const SHARDS = 3;
const NODES = 2 * SHARDS;
const SLOTS = 16_384;

/** By which the nodes know the one with this index. */
const idOf = (node) => (node + 1).toString(16).padStart(40, '0');
const nodeOf = (id) => Number.parseInt(id, 16) - 1;

/** The first slot that a shard has at the start. */
const firstOf = (shard) => Math.ceil((shard * SLOTS) / SHARDS);

class NodesConf {
  /** @param ports of the nodes, the primaries first, then the replica of each; and where they speak to each other
   *  @param hostNames what each says it is called, or nothing: then it is its address */
  constructor({ ports, buses, hostNames }) {
    Object.assign(this, { ports, buses, hostNames });
  }

  /** What a node is started with; its file is in `folder` then. */
  options(node, folder) {
    const file = join(folder, `${this.ports[node]}.conf`);
    writeFileSync(file, this.#file(node));
    const name = this.hostNames?.[node];
    return [
      ...['--cluster-enabled', 'yes', '--cluster-port', this.buses[node], '--cluster-config-file', file],
      // As ElastiCache has it: a shard that is away is no matter of the others.
      ...['--cluster-require-full-coverage', 'no'],
      // A replica takes over however long it has not heard from its primary.
      ...['--cluster-replica-validity-factor', '0', '--repl-diskless-sync-delay', '0'],
      ...(name ? ['--cluster-announce-hostname', name, '--cluster-preferred-endpoint-type', 'hostname'] : []),
    ];
  }

  #file(self) {
    const lines = this.ports.map((port, node) => {
      const shard = node % SHARDS;
      const address = `127.0.0.1:${port}@${this.buses[node]},${this.hostNames?.[node] ?? ''}`;
      const me = node === self ? 'myself,' : '';
      const role =
        node < SHARDS
          ? `${me}master - 0 0 ${shard + 1} connected ${firstOf(shard)}-${firstOf(shard + 1) - 1}`
          : `${me}slave ${idOf(shard)} 0 0 ${shard + 1} connected`;
      return `${idOf(node)} ${address} ${role}`;
    });
    return `${lines.join('\n')}\nvars currentEpoch ${SHARDS} lastVoteEpoch 0\n`;
  }
}

/** The hash slot of a key: of what is between its first braces, if there is anything. */
function slotOf(key) {
  const open = key.indexOf('{');
  const close = key.indexOf('}', open);
  let crc = 0;
  for (const byte of Buffer.from(open >= 0 && close > open + 1 ? key.slice(open + 1, close) : key)) {
    crc ^= byte << 8;
    for (let i = 0; i < 8; i++) crc = ((crc << 1) ^ (crc & 0x8000 ? 0x1021 : 0)) & 0xffff;
  }
  return crc % SLOTS;
}

module.exports = { NodesConf, NODES, SHARDS, SLOTS, idOf, nodeOf, slotOf };
