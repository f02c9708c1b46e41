'use strict';
// Kinds of Redis other than one plain server, for Jest and for chaos.

const { Cluster, SHARDS, SLOTS, slotOf } = require('./cluster.cjs');
const { Single } = require('./single.cjs');
const { certificate } = require('./tls.cjs');

module.exports = { Cluster, Single, SHARDS, SLOTS, slotOf, caFile: certificate.ca };
