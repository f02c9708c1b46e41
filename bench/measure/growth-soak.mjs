// Whether memory grows with the number of checks: many of them, on logs that expire all the time.

import { open } from '../contenders/index.mjs';
import { ControlConnection } from '../control-connection.mjs';
import { Traffic, idsOf } from './closed-loop.mjs';

const CREATORS = 20_000;
const LIMIT = 10;
const WINDOW_MS = 3000;
const IN_FLIGHT = 200;
const SAMPLE_MS = 1000;

export async function measure({ contender, port, asked, seconds }) {
  const redis = await ControlConnection.connect(port);
  await redis.send('FLUSHALL', 'SYNC');
  const counted = { allowed: 0, denied: 0 };
  const { check, close } = await open(contender, { port, limit: LIMIT, windowMs: WINDOW_MS });
  const count = async (id) => {
    const allowed = await check(id);
    counted[allowed ? 'allowed' : 'denied'] += 1;
    return allowed;
  };
  const traffic = new Traffic(count, idsOf(CREATORS));
  const start = performance.now();
  const samples = [];
  const sample = async () => {
    const { rss, heapUsed, external } = process.memoryUsage();
    const at = { ms: Math.round(performance.now() - start), checks: traffic.sent };
    samples.push({ ...at, rss, heapUsed, external, redis: Number((await redis.info('memory')).used_memory) });
  };
  const sampler = setInterval(sample, SAMPLE_MS);
  const run = await traffic.runCounted({ inFlight: IN_FLIGHT, ms: seconds * 1000, maxChecks: asked });
  clearInterval(sampler);
  await sample();

  const answered = counted.allowed + counted.denied;
  if (answered !== traffic.sent) throw new Error(`${traffic.sent} checks, but ${answered} answers`);
  await close();
  redis.close();
  return { ...counted, checks: answered, perSecond: (answered / run.ms) * 1000, samples };
}
