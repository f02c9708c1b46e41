// The server's cost of a check by the shape of its batch, with a saturated server: this package's script, in commands
// that are written in advance, so that the sender's cost is negligible.

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { ControlConnection } from '../control-connection.mjs';
import { idsOf } from './closed-loop.mjs';
import { withCost } from './cpu-time.mjs';

const IDS = 10_000;
const LIMIT = 100;
const WINDOW_MS = 3_600_000;
const ANOMALY_WINDOW_MS = 300_000;
const SLACK_MS = 60_000;
const WARM_UP_MS = 300;

/** Round trips in flight: one that the server works on, and others in its queue. */
const TRIPS_IN_FLIGHT = 4;

/** The reply to an admitted check: "$14", 13 digits of Unix ms and the tag of the batch. */
const REPLY = /^(\$14\r\n\d{13}@\r\n)*$/;
const REPLY_BYTES = 21;

const script = readFileSync(new URL('../../src/store/redis/script/check.lua', import.meta.url), 'utf8');

export async function measure({ contender: { calls, keys }, ports: [port], seconds }) {
  const redis = await ControlConnection.connect(port);
  await redis.send('FLUSHALL', 'SYNC');
  const hash = await redis.send('SCRIPT', 'LOAD', script);
  const batches = roundTrips(hash, await ownKeys(redis, port), calls, keys);
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  await once(socket, 'connect');
  const runInterval = (ms, maxTrips) => exchange(socket, batches, calls, { ms, maxTrips });
  // No id is requested more often than its quota allows.
  const rounds = (share) => Math.floor(batches.length * LIMIT * share);
  await runInterval(WARM_UP_MS, rounds(0.2));
  const figures = await withCost(redis, async () => {
    const { sent, ms } = await runInterval(seconds * 1000, rounds(0.75));
    return { checks: sent * calls * keys, ms };
  });
  socket.destroy();
  redis.close();
  return figures;
}

/** Keys in this package's format that the server owns. */
async function ownKeys(redis, port) {
  const keys = idsOf(3 * IDS).map((id) => `{shapes:${id}}`);
  const { cluster_enabled } = await redis.info('cluster');
  if (cluster_enabled === '0') return keys.slice(0, IDS);
  const [[first, last]] = (await redis.send('CLUSTER', 'SLOTS')).filter(([, , [, of]]) => of === port);
  const slots = await Promise.all(keys.map((key) => redis.send('CLUSTER', 'KEYSLOT', key)));
  return keys.filter((_, i) => slots[i] >= first && slots[i] <= last).slice(0, IDS);
}

/** All keys, in commands of `keys` keys, with `calls` commands in each round trip. */
function roundTrips(hash, all, calls, keys) {
  const kinds = '@'.padEnd(1 + keys, '\0');
  const rest = [WINDOW_MS, ANOMALY_WINDOW_MS, SLACK_MS, kinds, 'check', LIMIT, 2 * LIMIT, 0];
  const command = (items) => encode(['EVALSHA', hash, items.length, ...items, ...rest]);
  const chunks = (list, size) =>
    Array.from({ length: Math.floor(list.length / size) }, (_, i) => list.slice(i * size, (i + 1) * size));
  const commands = chunks(all, keys).map(command);
  return chunks(commands, calls).map((items) => Buffer.from(items.join('')));
}

function encode(parts) {
  return `*${parts.length}\r\n${parts.map((part) => `$${`${part}`.length}\r\n${part}\r\n`).join('')}`;
}

/** Sends the batches in turn, until `ms` have passed or the given number was sent: `{ sent, ms }`. */
function exchange(socket, batches, calls, { ms, maxTrips }) {
  const start = performance.now();
  let [sent, replies, received] = [0, 0, ''];
  return new Promise((resolve, reject) => {
    const send = () => socket.write(batches[sent++ % batches.length]);
    const read = (chunk) => {
      received += chunk.toString('latin1');
      const whole = received.length - (received.length % REPLY_BYTES);
      if (!REPLY.test(received.slice(0, whole))) return reject(new Error(`not an admission: ${received.slice(0, 80)}`));
      received = received.slice(whole);
      replies += whole / REPLY_BYTES;
      const answered = Math.floor(replies / calls);
      const over = performance.now() - start >= ms;
      while (!over && sent < maxTrips && sent - answered < TRIPS_IN_FLIGHT) send();
      if (answered < sent) return;
      socket.off('data', read);
      resolve({ sent, ms: performance.now() - start });
    };
    socket.on('data', read);
    for (let i = 0; i < TRIPS_IN_FLIGHT; i++) send();
  });
}
