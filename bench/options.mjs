// The options of `npm run bench -- --rounds=3 --only=throughput`.

import { parseArgs } from 'node:util';
import { Failure } from '../scripts/run.mjs';

/** The kinds of measurements, in the order in which they run. */
export const KINDS = ['throughput', 'denials', 'memory', 'bytes', 'accuracy', 'cluster', 'shapes'];

export function optionsOf(args) {
  const { values } = parsed(args);
  const only = values.only?.split(',') ?? KINDS;
  const unknown = only.find((kind) => !KINDS.includes(kind));
  if (unknown !== undefined) throw new Failure(`--only=${unknown}: it takes ${KINDS.join(', ')}`);
  return {
    rounds: positive('rounds', values.rounds ?? '5', Number.isInteger),
    seconds: positive('seconds', values.seconds ?? '2', Number.isFinite),
    kinds: KINDS.filter((kind) => only.includes(kind)),
    contenders: values.contenders?.split(','),
    build: !values['no-build'],
    command: commandOf(args.filter((arg) => !arg.startsWith('--out') && arg !== '--no-build')),
    // A partial run writes no results, unless a folder is given.
    out: values.out ?? (values.only || values.contenders ? undefined : 'bench/results'),
  };
}

function parsed(args) {
  try {
    const string = { type: 'string' };
    return parseArgs({
      args,
      options: {
        rounds: string,
        seconds: string,
        only: string,
        contenders: string,
        out: string,
        'no-build': { type: 'boolean' },
      },
    });
  } catch (error) {
    throw new Failure(error.message);
  }
}

/** The command that reproduces the figures elsewhere. */
function commandOf(args) {
  return ['npm run bench', ...(args.length > 0 ? ['--', ...args] : [])].join(' ');
}

function positive(name, text, fits) {
  const value = Number(text);
  if (!fits(value) || value <= 0) throw new Failure(`--${name}=${text}: it takes a number above 0`);
  return value;
}
