// The suite of the limiter, as it is, on other kinds of Redis than one plain server: over TLS with users, on a cluster, and both.
//
//   node scripts/flavours.mjs [tls-users] [cluster] [cluster-tls-users]

import { isDeepStrictEqual } from 'node:util';
import { Failure, asMain } from './run.mjs';
import { jest } from './steps.mjs';

/** All that asks Redis. `readme` and `package` start none; what came later has its own ways to be sure of a store. */
const specs = [
  'anomaly',
  'bad-input',
  'creators',
  'environment',
  'lifecycle',
  'limiter',
  'process/',
  'route',
  'store-error',
];

/** What a cluster cannot do by its nature, by the name of the test, and why. */
const ofOneServer = {
  'a refused write is never an admission':
    'REPLICAOF does not exist in a cluster, whose replicas answer MOVED; chaos has F2 and F15',
  'over Redis a password function is asked at each connect, and once more when it is refused':
    'it counts connects to one server; a cluster has a connection for each node',
};
const flavours = { 'tls-users': {}, cluster: ofOneServer, 'cluster-tls-users': ofOneServer };

/** Runs the suite on a flavour. Left out is what the list names and nothing else. */
export function flavour(name) {
  const exceptions = Object.keys(flavours[name]);
  for (const test of exceptions) console.log(`left out on ${name}: ${test}: ${flavours[name][test]}`);
  const files = `^(?!.*/(fixtures|app|support)/).*/__test__/(${specs.join('|')})`;
  const names = exceptions.length > 0 ? [`--testNamePattern=^(?!(${exceptions.map(escaped).join('|')})$)`] : [];
  process.env.TEST_REDIS = name;
  try {
    const { pending } = jest(`--testPathPatterns=${files}`, ...names);
    if (!isDeepStrictEqual(pending.sort(), [...exceptions].sort()))
      throw new Failure(`left out on ${name}: ${pending.join(', ')}`);
  } finally {
    delete process.env.TEST_REDIS;
  }
}

export function everyFlavour(...names) {
  for (const name of names.length > 0 ? names : Object.keys(flavours)) {
    if (!flavours[name]) throw new Failure(`${name}: it takes ${Object.keys(flavours).join(', ')}`);
    console.log(`\n${name}`);
    flavour(name);
  }
}

function escaped(text) {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

await asMain(import.meta.url, everyFlavour);
