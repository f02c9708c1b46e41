// I22 and half of I6: the retry time that a denial promises is kept.

import { byIdOf } from './history.mjs';
import { CLOCKS_MS } from './invariants.mjs';

/** A process repeats a denial of Redis for so long at most (`denyCacheMs`). */
const REMEMBERED_MS = 1000;
/** Local admissions are replayed within this time once Redis answers. Only used in the text of a violation. */
const REPLAYED_MS = 4000;

/**
 * Redis admits no id before the moment that an earlier denial has promised, and no later promise is earlier.
 *
 * A cached denial counts from the arrival of Redis's reply, as the types say, so its promise may be later than Redis's
 * by the time that the reply was in flight: that of its slowest one, or of a stall. And it repeats the reply to that
 * process, up to `denyCacheMs` ago: it cannot know the replies to other processes since, such as after a replay.
 */
export function brokenRetryTimes(history, stallsOf = () => []) {
  let broken = 0;
  let example;
  for (const [key, list] of byIdOf(history)) {
    const decided = list.filter(({ source }) => source === 'redis' || source === 'deny-cache');
    const denials = decided.filter(({ outcome }) => outcome === 'denied').sort((a, b) => a.settledAt - b.settledAt);
    const promises = promisesOf(denials, stallsOf);
    const byProcess = new Map();
    const ofProcess = (process) => {
      if (!byProcess.has(process)) {
        const own = new LatestPromise(promises.filter(({ by }) => by.process === process));
        // The order of two replies is certain only as far as the clocks of two processes agree.
        const [ofRedis, ofCache] = [CLOCKS_MS, REMEMBERED_MS].map((ms) => new LatestPromise(promises, ms));
        byProcess.set(process, { own, ofRedis, ofCache });
      }
      return byProcess.get(process);
    };
    for (const later of decided.sort((a, b) => a.calledAt - b.calledAt)) {
      const { own, ofRedis, ofCache } = ofProcess(later.process);
      const others = later.source === 'deny-cache' ? ofCache : ofRedis;
      const latestPromise = latestOf(own.until(later.calledAt), others.until(later.calledAt));
      const latest = later.settledAt + (later.outcome === 'denied' ? later.retryAfterMs : 0);
      if (latestPromise === undefined || latest >= latestPromise.at - CLOCKS_MS) continue;
      broken++;
      const { at, by } = latestPromise;
      const early = `${(at - latest).toFixed(1)} ms too early in process ${later.process}`;
      const since = `${(later.calledAt - by.settledAt).toFixed(1)} ms after ${by.source} said ${by.retryAfterMs} ms`;
      // Local admissions are replayed into Redis, and may move the retry time that it promises.
      const replayed = list.filter(
        ({ source, outcome, settledAt }) =>
          source === 'local' &&
          outcome === 'allowed' &&
          settledAt <= later.settledAt &&
          settledAt > by.calledAt - REPLAYED_MS,
      );
      example ??=
        `${key} ${later.outcome} by ${later.source} ${early}, ${since} in process ${by.process}, ` +
        `${replayed.length} local admissions in the ${REPLAYED_MS} ms before`;
    }
  }
  return broken === 0 ? [] : [`${broken} promises of a retry time broken: ${example}`];
}

/** The latest promise that was made at least some ms before a moment; the moments must not decrease. */
class LatestPromise {
  #promises;
  #before;
  #next = 0;
  #latest;

  constructor(promises, before = 0) {
    this.#promises = promises;
    this.#before = before;
  }

  until(moment) {
    const promises = this.#promises;
    for (; this.#next < promises.length && promises[this.#next].by.settledAt <= moment - this.#before; this.#next++) {
      this.#latest = latestOf(this.#latest, promises[this.#next]);
    }
    return this.#latest;
  }
}

function latestOf(a, b) {
  if (a === undefined || b === undefined) return a ?? b;
  return b.at > a.at ? b : a;
}

/** The earliest promise of each denial: the store's time lies between call and answer. */
function promisesOf(denials, stallsOf) {
  const inFlight = slowestDenials(denials);
  return denials.map((by) => {
    const { process, source, calledAt, settledAt, retryAfterMs } = by;
    const stood = stallsOf(process).filter(([, end]) => end <= settledAt && end > calledAt - REMEMBERED_MS);
    const late = Math.max(inFlight.get(process) ?? 0, ...stood.map(([start, end]) => end - start));
    return { at: calledAt + retryAfterMs - (source === 'deny-cache' ? late : 0), by };
  });
}

/** The longest time that a denial of Redis was in flight, by process. */
function slowestDenials(denials) {
  const slowest = new Map();
  for (const { process, source, calledAt, settledAt } of denials) {
    if (source === 'redis') slowest.set(process, Math.max(slowest.get(process) ?? 0, settledAt - calledAt));
  }
  return slowest;
}
