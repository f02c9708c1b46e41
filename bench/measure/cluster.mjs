// Throughput, of contenders some of which are on a cluster.

export { measure } from './throughput.mjs';
