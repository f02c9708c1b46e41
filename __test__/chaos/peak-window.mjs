// The fullest window of any id, for the report.

import { admissions, byIdOf, mostInWindow } from './history.mjs';
import { CLOCKS_MS } from './invariants.mjs';

/** The most admissions in a window of any id, by Redis alone and by all sources, with the allowed maximum. */
export function peakWindows(history, limiters, processes, wallOffset) {
  const result = { ofRedis: 0, dueOfRedis: 0, ofAll: 0, dueOfAll: 0 };
  const add = (name, list, bound) => {
    for (const [, admitted] of byIdOf(list)) {
      const { limit, windowMs, onStoreError } = limiters[admitted[0].limiter];
      const moments = admitted.map(({ at }) => at);
      const count = mostInWindow(moments, windowMs - (name === 'ofAll' ? CLOCKS_MS : 0));
      if (count > result[name]) result[name] = count;
      const due = `due${name[0].toUpperCase()}${name.slice(1)}`;
      result[due] = Math.max(result[due], bound(limit, onStoreError));
    }
  };
  const ofRedis = admissions(history, 'redis').map((decision) => ({ ...decision, at: decision.moment }));
  add('ofRedis', ofRedis, (limit) => limit);
  // On one clock, as far as clocks agree: a slot that one process has freed and filled again must not count twice.
  const all = admissions(history).map((decision) => ({ ...decision, at: momentOf(decision, wallOffset) }));
  add('ofAll', all, (limit, policy) => (policy === 'local' ? limit * (1 + processes) : limit));
  return result;
}

function momentOf({ source, moment, calledAt, settledAt }, wallOffset) {
  const at = source === 'redis' ? moment - wallOffset : moment;
  return Math.min(Math.max(at, calledAt), settledAt);
}
