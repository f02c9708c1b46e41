// The machine of the figures, and the measured versions.

import { readFileSync } from 'node:fs';
import { cpus, release, totalmem, type } from 'node:os';
import { versionOf } from '../install.mjs';
import { table } from './table.mjs';

export const PEERS = ['ioredis', 'rate-limiter-flexible', '@upstash/ratelimit', '@valkey/valkey-glide'];

/** @param peers the packages that were measured in the same run */
export function machine(redisVersion, peers = []) {
  const { name, version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  return {
    processor: `${cpus()[0].model}, ${cpus().length} cores`,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    // Without suffixes of a distribution or a host.
    kernel: `${type()} ${/^[\d.]+/.exec(release())[0]}`,
    node: process.versions.node,
    redis: `${redisVersion}, on loopback`,
    [name]: version,
    ...Object.fromEntries(peers.map((peer) => [peer, versionOf(peer)])),
  };
}

export function machineTable(described) {
  return table({ '': ([what]) => what, 'measured on': ([, value]) => value }, Object.entries(described));
}
