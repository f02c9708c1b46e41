'use strict';
// The roles of the nodes at the start, and the nodes.conf in which each node reads them. Every node starts with the
// whole cluster in its nodes.conf, as after a restart: no CLUSTER MEET is needed, and no replica has to be assigned.

const { writeFileSync } = require('node:fs');
const { join } = require('node:path');

/** Primaries; each has one replica. */
const SHARDS = 3;
const NODES = 2 * SHARDS;
const SLOTS = 16_384;

/** The node id of the node with this index. */
const idOf = (node) => (node + 1).toString(16).padStart(40, '0');
const nodeOf = (id) => Number.parseInt(id, 16) - 1;

/** The first slot of a shard at the start. */
const firstOf = (shard) => Math.ceil((shard * SLOTS) / SHARDS);

class NodesConf {
  /**
   * @param ports of the nodes, the primaries first, then the replica of each; `buses`, their cluster bus ports
   * @param hostNames the announced name of each node; without it, its IP address
   */
  constructor({ ports, buses, hostNames }) {
    Object.assign(this, { ports, buses, hostNames });
  }

  /** The options of a node, whose file is written into `folder`. */
  options(node, folder) {
    const file = join(folder, `${this.ports[node]}.conf`);
    writeFileSync(file, this.#file(node));
    const name = this.hostNames?.[node];
    return [
      ...['--cluster-enabled', 'yes', '--cluster-port', this.buses[node], '--cluster-config-file', file],
      // As in ElastiCache: the other shards serve while one is unavailable.
      ...['--cluster-require-full-coverage', 'no'],
      // A replica may be promoted, however long it has had no contact with its primary.
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

/** The hash slot of a key: of the text between its first braces, if there is any. */
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
