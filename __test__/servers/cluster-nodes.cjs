'use strict';
// A node's view of the cluster.

const { nodeOf } = require('./nodes-conf.cjs');

/** Each line of CLUSTER NODES: `<id> <address> <flags> <primary> <ping> <pong> <epoch> <link> <slots …>`. */
async function nodesSeenBy(cluster, asked) {
  const text = await cluster.send(asked, 'CLUSTER', 'NODES');
  return text
    .trim()
    .split('\n')
    .map((line) => line.split(' '))
    .map(([id, address, flags, primary, , , epoch, link, ...slots]) => ({
      index: nodeOf(id),
      /**
       * Empty if it announces none, or if the queried node does not know it yet: after a start Redis from 7.2 on and
       * Valkey get it from the node alone, and report `?` until then.
       */
      name: address.split(',')[1] ?? '',
      // A failed node may still be listed as a primary, next to the promoted one.
      isPrimary: flags.split(',').includes('master') && slots.length > 0,
      /** The index of a replica's primary. */
      follows: primary === '-' ? undefined : nodeOf(primary),
      /** The version of this node's claims: of two nodes that claim a slot, the one with the later epoch owns it. */
      epoch: Number(epoch),
      isReached: flags.includes('myself') || (link === 'connected' && !flags.includes('fail')),
      // Slots in migration are in brackets, and still at their old node.
      slots: slots.filter((text) => !text.startsWith('[')).map(range),
    }));
}

/** The slot owners and roles in that view, as a text: equal texts mean equal views. */
function claims(nodes) {
  const lines = nodes.map(({ index, isPrimary, follows, epoch, slots }) =>
    [index, isPrimary ? 'primary' : `follows ${follows}`, epoch, slots.join(' ')].join(': '),
  );
  return lines.sort().join('\n');
}

/** The node that serves a slot in that view, if there is one. */
function ownerOf(slot, nodes) {
  return nodes.find(({ slots }) => slots.some(([first, last]) => slot >= first && slot <= last));
}

function range(text) {
  const [first, last = first] = text.split('-').map(Number);
  return [first, last];
}

module.exports = { claims, nodesSeenBy, ownerOf };
