// The cost of a check by the number of creators, and a creator's memory on the server.

import { open } from '../contenders/index.mjs';
import { ControlConnection } from '../control-connection.mjs';
import { Traffic, idsOf } from './closed-loop.mjs';
import { withCost } from './cpu-time.mjs';

const LIMIT = 100;
const PER_CREATOR = 95;
const WINDOW_MS = 3_600_000;
const IN_FLIGHT = 200;

export async function measure({ contender, port, creators, seconds }) {
  const redis = await ControlConnection.connect(port);
  await redis.send('FLUSHALL', 'SYNC');
  const usedBefore = await usedMemory(redis);
  const { check, close } = await open(contender, { port, limit: LIMIT, windowMs: WINDOW_MS });
  const traffic = new Traffic(check, idsOf(creators), PER_CREATOR);
  // One check of each creator: afterwards every log exists, and the code is compiled.
  const once = await traffic.runTimed({ inFlight: IN_FLIGHT, ms: Infinity, maxChecks: creators });
  const bytesPerCreator = ((await usedMemory(redis)) - usedBefore) / creators;
  const { latencies, ...figures } = await withCost(redis, () =>
    traffic.runTimed({ inFlight: IN_FLIGHT, ms: seconds * 1000 }),
  );
  if (once.denied + figures.denied > 0) throw new Error('a check of an unused quota was denied');
  await close();
  redis.close();
  return { ...figures, ...latencies.percentiles(), bytesPerCreator };
}

async function usedMemory(redis) {
  return Number((await redis.info('memory')).used_memory);
}
