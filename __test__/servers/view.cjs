'use strict';
// What a node says of the cluster.

const { nodeOf } = require('./layout.cjs');

/** Each line of CLUSTER NODES: `<id> <place> <flags> <primary> <ping> <pong> <epoch> <link> <slots …>`. */
async function nodesBy(cluster, asked) {
  const text = await cluster.send(asked, 'CLUSTER', 'NODES');
  return text
    .trim()
    .split('\n')
    .map((line) => line.split(' '))
    .map(([id, , flags, , , , , , ...slots]) => ({
      index: nodeOf(id),
      // One that has failed may be called a primary still, beside the one that took over.
      isPrimary: flags.split(',').includes('master') && slots.length > 0,
      // What is on its way is in brackets, and still where it was.
      slots: slots.filter((text) => !text.startsWith('[')).map(range),
    }));
}

function range(text) {
  const [first, last = first] = text.split('-').map(Number);
  return [first, last];
}

module.exports = { nodesBy };
