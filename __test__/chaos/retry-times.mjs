// I22 and half of I6: what a denial promises is kept.

import { byIdOf } from './history.mjs';
import { CLOCKS_MS } from './invariants.mjs';

/** A process repeats a denial of Redis for so long at most (`denyCacheMs`). */
const REMEMBERED_MS = 1000;
/** Local admissions are replayed within this time once Redis answers. Only used in the text of a violation. */
const REPLAYED_MS = 4000;

/**
 * By Redis, an id is not admitted before the moment that an earlier denial has promised, nor is a later promise earlier.
 *
 * A denial that the process remembers is counted from when Redis's answer came, as the types say, and so its promise may be
 * later than Redis's by as long as that answer was under way: as its slowest, or as it stood still. And it repeats what that
 * process was told, up to `denyCacheMs` ago: what another one has heard since, after a replay, it cannot know.
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
        // What was first is certain only as far as the clocks of two processes agree.
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

/** The latest of the promises that were made some ms before a moment at the least; asked for later and later moments. */
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

/** What each denial promises, at the earliest: the store's moment lies between call and answer. */
function promisesOf(denials, stallsOf) {
  const inFlight = slowestDenials(denials);
  return denials.map((by) => {
    const { process, source, calledAt, settledAt, retryAfterMs } = by;
    const stood = stallsOf(process).filter(([, end]) => end <= settledAt && end > calledAt - REMEMBERED_MS);
    const late = Math.max(inFlight.get(process) ?? 0, ...stood.map(([start, end]) => end - start));
    return { at: calledAt + retryAfterMs - (source === 'deny-cache' ? late : 0), by };
  });
}

/** How long the slowest denial of Redis was under way, by process. */
function slowestDenials(denials) {
  const slowest = new Map();
  for (const { process, source, calledAt, settledAt } of denials) {
    if (source === 'redis') slowest.set(process, Math.max(slowest.get(process) ?? 0, settledAt - calledAt));
  }
  return slowest;
}
