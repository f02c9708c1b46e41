// Throughput of contenders, of which some use a cluster.

export { measure } from './throughput.mjs';
