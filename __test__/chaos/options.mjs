// The options of `npm run chaos -- --only=F9,F10`.

import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { Failure } from '../../scripts/run.mjs';
import { faults } from './faults/index.mjs';

/** The kinds of cluster for the faults of clusters. */
const FLAVOURS = ['cluster-tls-users', 'cluster'];

/** A fault waits more than it works. */
const AT_ONCE = 2 * availableParallelism();

export function optionsOf(args) {
  const { values } = parsed(args);
  const only = values.only?.split(',');
  const ids = faults.map(({ id }) => id);
  const unknown = only?.find((text) => !ids.some((id) => named(id, text)));
  if (unknown !== undefined) throw new Failure(`--only=${unknown}: it takes ${ids.join(', ')}`);
  const flavour = values.flavour ?? FLAVOURS[0];
  if (!FLAVOURS.includes(flavour)) throw new Failure(`--flavour=${flavour}: it takes ${FLAVOURS.join(', ')}`);
  const atOnce = Number(values['at-once'] ?? AT_ONCE);
  if (!(Number.isInteger(atOnce) && atOnce > 0)) throw new Failure(`--at-once=${values['at-once']}: it takes a number`);
  return {
    flavour,
    atOnce,
    quick: values.quick ?? false,
    chosen: (fault) => (only ? only.some((text) => named(fault.id, text)) : !values.quick || fault.quick),
    builds: !values['no-build'],
    command: 'npm run chaos',
    // A partial run writes no results, unless a folder is given.
    out: values.out ?? (values.quick || only ? undefined : '__test__/chaos/results'),
  };
}

/** F11 selects F11a and F11b. */
function named(id, text) {
  return id === text || id.replace(/[a-z]$/, '') === text;
}

function parsed(args) {
  const [string, boolean] = [{ type: 'string' }, { type: 'boolean' }];
  try {
    return parseArgs({
      args,
      options: { quick: boolean, only: string, flavour: string, 'at-once': string, 'no-build': boolean, out: string },
    });
  } catch (error) {
    throw new Failure(error.message);
  }
}
