'use strict';
// Kinds of Redis other than one plain server, for Jest and for chaos.

const { Cluster, SHARDS, SLOTS, slotOf } = require('./cluster.cjs');
const { idOf } = require('./nodes-conf.cjs');
const { freePorts, isTaken } = require('./ports.cjs');
const { Single } = require('./single.cjs');
const { certificate } = require('./tls.cjs');

module.exports = { Cluster, Single, SHARDS, SLOTS, freePorts, idOf, isTaken, slotOf, caFile: certificate.ca };
