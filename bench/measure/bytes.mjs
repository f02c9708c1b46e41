// The server memory of a full log: one id, as many checks as its limit, then MEMORY USAGE of every key.

import { setTimeout as sleep } from 'node:timers/promises';
import { open } from '../contenders/index.mjs';
import { ControlConnection } from '../control-connection.mjs';

/** As long as the ids of the other measurements. */
const ID = 'creator-1234';
const WINDOW_MS = 3_600_000;

/** Admissions are spread evenly over `spreadMs`: at a single moment, differences between them would take no space. */
export async function measure({ contender, port, limits, database, spreadMs }) {
  const logs = await Promise.all(limits.map((limit, i) => fullLog(contender, port, database + i, limit, spreadMs)));
  return { logs };
}

async function fullLog(contender, port, database, limit, spreadMs) {
  const redis = await ControlConnection.connect(port);
  await redis.send('SELECT', database);
  await redis.send('FLUSHDB', 'SYNC');
  const { check, close } = await open(contender, { port, database, limit, windowMs: WINDOW_MS });
  const start = performance.now();
  for (let i = 0; i < limit; i++) {
    await sleep(Math.max(0, start + (i / limit) * spreadMs - performance.now()));
    if (!(await check(ID))) throw new Error(`check ${i + 1} of a limit of ${limit} was denied`);
  }
  const keys = [];
  for (const key of await keysOf(redis)) {
    keys.push({ type: await redis.send('TYPE', key), bytes: await redis.send('MEMORY', 'USAGE', key, 'SAMPLES', 0) });
  }
  await close();
  redis.close();
  return { limit, bytes: keys.reduce((sum, { bytes }) => sum + bytes, 0), keys };
}

async function keysOf(redis) {
  const found = new Set();
  let cursor = '0';
  do {
    const [next, keys] = await redis.send('SCAN', cursor, 'COUNT', 100);
    keys.forEach((key) => found.add(key));
    cursor = next;
  } while (cursor !== '0');
  return [...found];
}
