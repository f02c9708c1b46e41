// The options of `npm run chaos -- --only=F9,F10`.

import { parseArgs } from 'node:util';
import { Failure } from '../../scripts/run.mjs';
import { faults } from './faults/index.mjs';

/** What the faults of clusters are shown on. */
const FLAVOURS = ['cluster-tls-users', 'cluster'];

export function optionsOf(args) {
  const { values } = parsed(args);
  const only = values.only?.split(',');
  const ids = faults.map(({ id }) => id);
  const unknown = only?.find((text) => !ids.some((id) => named(id, text)));
  if (unknown !== undefined) throw new Failure(`--only=${unknown}: it takes ${ids.join(', ')}`);
  const flavour = values.flavour ?? FLAVOURS[0];
  if (!FLAVOURS.includes(flavour)) throw new Failure(`--flavour=${flavour}: it takes ${FLAVOURS.join(', ')}`);
  return {
    flavour,
    quick: values.quick ?? false,
    chosen: (fault) => (only ? only.some((text) => named(fault.id, text)) : !values.quick || fault.quick),
    builds: !values['no-build'],
    command: 'npm run chaos',
    // A part of the whole leaves no results, unless a place for them is given.
    out: values.out ?? (values.quick || only ? undefined : '__test__/chaos/results'),
  };
}

/** F11 names F11a and F11b. */
function named(id, text) {
  return id === text || id.replace(/[a-z]$/, '') === text;
}

function parsed(args) {
  const [string, boolean] = [{ type: 'string' }, { type: 'boolean' }];
  try {
    return parseArgs({
      args,
      options: { quick: boolean, only: string, flavour: string, 'no-build': boolean, out: string },
    });
  } catch (error) {
    throw new Failure(error.message);
  }
}
