'use strict';
// A process of an application: opens limiters and makes checks, on commands of the suite. Every decision is recorded.

const { RateLimiter } = require('../../..');
const legacy = require('./legacy-limiter.cjs');
const { now, wallOffset } = require('./clock.cjs');
const { footprint } = require('./footprint.cjs');
const { History } = require('./history.cjs');
const { LoggedTexts } = require('./logged-texts.cjs');
const { measureSchedulingDelays } = require('./scheduling-delays.cjs');

const PROGRESS_MS = 25;

let history = new History();
const loggedTexts = new LoggedTexts();
const waits = measureSchedulingDelays();
const limiters = new Map();
const escaped = { unhandledRejection: 0, uncaughtException: 0 };
for (const name of Object.keys(escaped)) {
  process.on(name, (error) => {
    escaped[name]++;
    loggedTexts.error(error);
  });
}

let calls = 0;
let settled = 0;
/** The answers since the start, by limiter, in the form of its metrics. */
const counts = {};
let asking = [];
let stopping = false;
/**
 * Reported while traffic runs. By limiter: the call time of the latest decision of Redis, of the latest of any other
 * source, and of the latest that was made at once and not at a deadline. By code: the call time of the latest failure.
 */
const latest = { redis: {}, other: {}, atOnce: {}, codes: {} };
/** The checks in flight, the oldest first. */
const inFlight = new Set();

const commands = {
  /** Each `{ key, algorithm, options }`; `algorithm: 'legacy'` is the module that this package replaces. */
  async open(list) {
    for (const { key, algorithm, options } of list) {
      const limiter = algorithm === 'legacy' ? await legacy.open(options) : new RateLimiter(options);
      limiter.onAnomaly?.((anomaly) => loggedTexts.value(anomaly));
      limiters.set(key, { limiter, options });
    }
  },

  /**
   * Each `{ limiter, asking, thinkMs, hot, cold, hotShare, ids }`: `asking` callers that make a check, pause and make
   * the next. `ids`, by limiter, replace the hot ids if given.
   */
  start(streams) {
    stopping = false;
    for (const stream of streams) {
      for (let i = 0; i < stream.asking; i++) asking.push(caller(stream));
    }
  },

  async stop() {
    stopping = true;
    await Promise.all(asking);
    asking = [];
  },

  /** One check; returns its answer. */
  async check({ limiter, id }) {
    return check(limiter, id);
  },

  /** `count` concurrent checks of one id; returns the number allowed. */
  async burst({ limiter, id, count }) {
    const answers = await Promise.all(Array.from({ length: count }, () => check(limiter, id)));
    return answers.filter(({ outcome }) => outcome === 1).length;
  },

  /** A lone caller: makes a check every `everyMs`, `times` times. */
  async alone({ limiter, id, everyMs, times }) {
    const answers = [];
    for (let i = 0; i < times; i++) {
      answers.push(await check(limiter, id));
      await pause(everyMs);
    }
    return answers;
  },

  async status({ limiter, ids }) {
    return Promise.all(ids.map((id) => limiters.get(limiter).limiter.status(id)));
  },

  async close() {
    for (const { limiter } of limiters.values()) await limiter.close();
    limiters.clear();
  },

  footprint: () => footprint(history.bytes),

  /** Everything recorded since the last call. */
  records() {
    for (const { limiter } of limiters.values()) loggedTexts.value(limiter);
    const record = {
      ...history.packed(),
      calls,
      stalls: waits.stalls.splice(0),
      queued: waits.queued.splice(0),
      queuedMain: waits.queuedMain.splice(0),
      escaped,
      texts: [...loggedTexts.texts],
      counts,
      metrics: metrics(),
      wallOffset: wallOffset(),
    };
    calls = 0;
    settled = 0;
    history = new History();
    return record;
  },
};

/** The metrics of every limiter, in the form of `counts`. */
function metrics() {
  const counted = [...limiters].filter(([, { limiter }]) => limiter instanceof RateLimiter);
  return Object.fromEntries(
    counted.map(([key, { limiter }]) => {
      const { allowed, denied, failed } = limiter.getMetrics();
      const some = (counts) => Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));
      return [key, { allowed: some(allowed), denied: some(denied), failed }];
    }),
  );
}

function count(key, outcome, source) {
  const own = (counts[key] ??= { allowed: {}, denied: {}, failed: 0 });
  if (outcome === 2) own.failed++;
  else {
    const bySource = outcome === 1 ? own.allowed : own.denied;
    bySource[source] = (bySource[source] ?? 0) + 1;
  }
}

async function caller({ limiter, thinkMs, hot, cold, hotShare, ids }) {
  // Callers start at different times.
  await pause(Math.random() * thinkMs);
  while (!stopping) {
    const hotId = () => (ids ? ids[limiter][pick(ids[limiter].length)] : `hot-${pick(hot)}`);
    const id = Math.random() < hotShare ? hotId() : `cold-${pick(cold)}`;
    await check(limiter, id);
    await pause(thinkMs * (0.5 + Math.random()));
  }
}

async function check(key, id) {
  const { limiter, options } = limiters.get(key);
  calls++;
  const calledAt = now();
  const asked = { calledAt };
  inFlight.add(asked);
  let answer;
  try {
    const { allowed, source, reset, retryAfterMs } = await limiter.limit(id);
    // An admission's reset time minus the window is its recorded time.
    const moment = allowed ? reset - options.windowMs : 0;
    answer = { outcome: allowed ? 1 : 0, source, moment, retryAfterMs, calledAt, settledAt: now() };
  } catch (error) {
    answer = { outcome: 2, source: `${error?.code}`, moment: 0, retryAfterMs: 0, calledAt, settledAt: now() };
    loggedTexts.error(error);
  }
  inFlight.delete(asked);
  settled++;
  note(key, answer, options.timeoutMs ?? Infinity);
  count(key, answer.outcome, answer.source);
  history.add(key, id, answer.outcome, answer.source, answer.moment, answer.retryAfterMs, calledAt, answer.settledAt);
  return answer;
}

function note(key, { outcome, source, calledAt, settledAt }, timeoutMs) {
  const mark = (marks, name) => (marks[name] = Math.max(marks[name] ?? 0, calledAt));
  if (source === 'redis') mark(latest.redis, key);
  else if (source !== 'deny-cache') {
    mark(latest.other, key);
    if (settledAt - calledAt < timeoutMs / 2) mark(latest.atOnce, key);
  }
  if (outcome === 2) mark(latest.codes, source);
}

function progress() {
  const [oldest] = inFlight;
  return { at: now(), calls, settled, latest, oldest: oldest?.calledAt ?? Infinity };
}

function pick(count) {
  return Math.floor(Math.random() * count);
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

setInterval(() => process.send({ progress: progress() }), PROGRESS_MS).unref();

process.on('message', async ({ number, command, argument }) => {
  try {
    process.send({ number, result: await commands[command](argument) });
  } catch (error) {
    loggedTexts.error(error);
    process.send({ number, error: `${error?.stack}` });
  }
});
// The suite ended: this process ends, too.
process.on('disconnect', () => process.exit(0));
