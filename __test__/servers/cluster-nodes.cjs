'use strict';
// What a node says of the cluster.

const { nodeOf } = require('./nodes-conf.cjs');

/** Each line of CLUSTER NODES: `<id> <place> <flags> <primary> <ping> <pong> <epoch> <link> <slots …>`. */
async function nodesSeenBy(cluster, asked) {
  const text = await cluster.send(asked, 'CLUSTER', 'NODES');
  return text
    .trim()
    .split('\n')
    .map((line) => line.split(' '))
    .map(([id, address, flags, primary, , , epoch, link, ...slots]) => ({
      index: nodeOf(id),
      /** Empty where it announces none, or has not told the one that is asked: after a start Redis from 7.2 on and Valkey hear it
       *  from the node alone, and say `?` until then. */
      name: address.split(',')[1] ?? '',
      // One that has failed may be called a primary still, beside the one that took over.
      isPrimary: flags.split(',').includes('master') && slots.length > 0,
      /** Of a replica, the index of its primary. */
      follows: primary === '-' ? undefined : nodeOf(primary),
      /** The version of what this node claims: of two that claim a slot, the later one has it. */
      epoch: Number(epoch),
      isReached: flags.includes('myself') || (link === 'connected' && !flags.includes('fail')),
      // What is on its way is in brackets, and still where it was.
      slots: slots.filter((text) => !text.startsWith('[')).map(range),
    }));
}

/** Who serves what by that view, as a text: two nodes that say the same have heard the same. */
function claims(nodes) {
  const lines = nodes.map(({ index, isPrimary, follows, epoch, slots }) =>
    [index, isPrimary ? 'primary' : `follows ${follows}`, epoch, slots.join(' ')].join(': '),
  );
  return lines.sort().join('\n');
}

/** The node that serves a slot by that view, if there is one. */
function ownerOf(slot, nodes) {
  return nodes.find(({ slots }) => slots.some(([first, last]) => slot >= first && slot <= last));
}

function range(text) {
  const [first, last = first] = text.split('-').map(Number);
  return [first, last];
}

module.exports = { claims, nodesSeenBy, ownerOf };
