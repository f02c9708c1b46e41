// F1, F12, F14 and F15 on all nodes of a cluster at once: the behaviour over one Redis holds over many.

import { full } from './memory.mjs';
import outage from './outage.mjs';
import pauses from './server-pause.mjs';
import { flushed } from './scripts.mjs';

function everywhere(fault, id) {
  const run = (context) => fault.run(new Proxy(context, { get: inCluster }));
  return { id, title: `cluster: ${fault.title}, everywhere`, quick: false, slow: fault.slow, run };
}

/** A context whose `server` starts a cluster. */
function inCluster(context, name) {
  const member = context[name === 'server' ? 'cluster' : name];
  return typeof member === 'function' ? member.bind(context) : member;
}

export const killedEverywhere = everywhere(outage, 'F1c');
export const pausedEverywhere = everywhere(pauses, 'F12c');
export const flushedEverywhere = everywhere(flushed, 'F14c');
export const fullEverywhere = everywhere(full, 'F15c');
