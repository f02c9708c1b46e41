// npm run demo: builds the addon, sends requests of five creators within and beyond their plans, and checks the
// results. On the embedded store; with REDIS_URL (or the other variables of the README) on that Redis, with fresh ids.

import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { build } from './build.mjs';
import { route } from './demo/route.mjs';
import { speed } from './demo/speed.mjs';
import { creators, differences, send } from './demo/traffic.mjs';
import { Failure, runIfMain } from './run.mjs';

/** An anomaly is reported with the decision that crossed the threshold; a shared machine may be late. */
const ANOMALY_WAIT_MS = 5000;

async function demo() {
  console.log('Building the addon (the first time takes some minutes)');
  build();
  const rateLimit = (await import('../index.js')).default;
  // Fresh ids: a Redis may still have the ids of an earlier run.
  const run = randomBytes(4).toString('hex');
  const idOf = (creator) => `demo-${run}-${creator}`;
  const anomalies = [];
  rateLimit.onAnomaly((anomaly) => anomalies.push(anomaly));

  try {
    const results = await send(route(rateLimit), idOf, progress());
    const expected = creators.reduce((sum, creator) => sum + creator.anomalies, 0);
    for (let waited = 0; anomalies.length < expected && waited < ANOMALY_WAIT_MS; waited += 50) await sleep(50);
    creators.forEach(({ creator }, i) => {
      results[i].anomalies = anomalies.filter(({ creatorId }) => creatorId === idOf(creator)).length;
    });
    table(results);
    const { perSecond, source } = await speed(rateLimit, `demo-${run}`);
    console.log(`\n${perSecond.toLocaleString('en')} checks a second, 200 in flight`);
    console.log(`Store: ${source === 'memory' ? 'memory (embedded; set REDIS_URL to use a Redis)' : source}`);
    checkResults(results, source);
  } finally {
    await Promise.all(creators.map(({ creator }) => rateLimit.resetCreatorRateLimit(idOf(creator))));
    await rateLimit.close();
  }
}

function progress() {
  const total = creators.reduce((sum, { calls }) => sum + calls, 0);
  console.log(`\nSending ${total} requests of ${creators.length} creators`);
  let answered = 0;
  return () => {
    answered += 1;
    if (answered % Math.ceil(total / 5) === 0 || answered === total) console.log(`  ${answered} answered`);
  };
}

function table(results) {
  const rows = creators.map(({ creator, plan, calls }, i) => ({
    creator,
    plan,
    calls,
    allowed: results[i].allowed,
    denied: results[i].denied,
    'retry-after': results[i].denied > 0 ? `${results[i].retryAfter} s` : '-',
    anomalies: results[i].anomalies,
  }));
  const columns = Object.keys(rows[0]);
  const width = (column) => Math.max(column.length, ...rows.map((row) => `${row[column]}`.length));
  const line = (row) => columns.map((column) => cell(row[column], width(column))).join('  ');
  console.log(`\n${line(Object.fromEntries(columns.map((column) => [column, column])))}`);
  for (const row of rows) console.log(line(row));
}

function cell(value, width) {
  return typeof value === 'number' ? `${value}`.padStart(width) : `${value}`.padEnd(width);
}

function checkResults(results, source) {
  const wrong = creators.flatMap((creator, i) => differences(creator, results[i]));
  // Decisions of another source than the store mean that it did not answer.
  if (source !== 'memory' && source !== 'redis') wrong.push(`the store did not decide: ${source}`);
  if (wrong.length > 0) throw new Failure(`not as the plans say:\n  ${wrong.join('\n  ')}`);
  console.log('Every number is what the plans say.');
}

await runIfMain(import.meta.url, demo);
