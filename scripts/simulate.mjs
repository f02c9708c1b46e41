// Runs the engines in virtual time against modelled servers, each seed a run: `node scripts/simulate.mjs [--seed=1]
// [--runs=100000] [--all] [--defects]`.
//
// A failing run is shrunk and printed step by step. `--seed=N` alone prints what happens in that run. With `--all` the runs go on
// after a failure, and each broken rule is shown once. `--defects` plants one defect after the other in the product, each of
// which has to be found.

import { join } from 'node:path';
import { addNote, addResults } from './test-results.mjs';
import { Failure, root, runIfMain, tee } from './run.mjs';
import { requireCargo } from './rust.mjs';

const manifest = join(root, '__test__/simulator/Cargo.toml');

/** Of its own, so that no other cargo command waits for this one, nor this one for another. */
const folder = join(root, 'target/simulator');

/** What npm test runs: less than a minute on two cores. */
const RUNS = 100_000;

export async function simulate(...args) {
  const { seed, runs, all, defects } = options(args);
  requireCargo();
  const env = { ...process.env, RUST_BACKTRACE: '0', SIMULATE_SEED: `${seed}`, SIMULATE_RUNS: `${runs}` };
  if (all) env.SIMULATE_ALL = '1';
  const features = defects ? ['--features', 'planted-defects'] : [];
  const build = ['test', '--locked', '--manifest-path', manifest, '--target-dir', folder, ...features];
  const tests = args.length === 0 ? [] : [defects ? 'defects::' : 'runs::random'];
  const { code, text } = await tee('cargo', [...build, '--', '--nocapture', ...tests], { env });
  const [, passed, failed] = /^test result: \w+\. (\d+) passed; (\d+) failed/m.exec(text) ?? [];
  if (passed === undefined) throw new Failure('the simulator cannot be built');
  addResults(Number(passed), Number(failed));
  for (const [line] of text.matchAll(/^\d+ runs in .* a second/gm)) addNote(line);
  if (code !== 0) throw new Failure('the simulator has found a failure');
}

function options(args) {
  const found = { seed: 1, runs: undefined, all: false, defects: false };
  for (const arg of args) {
    const [, name, value] = /^--(seed|runs|all|defects)(?:=(\d+))?$/.exec(arg) ?? [];
    if ((name === 'all' || name === 'defects') && value === undefined) found[name] = true;
    else if ((name === 'seed' || name === 'runs') && value !== undefined) found[name] = Number(value);
    else throw new Failure(`unknown option ${arg}: --seed=N, --runs=N, --all and --defects are known`);
  }
  const one = args.some((arg) => arg.startsWith('--seed='));
  return { ...found, runs: found.runs ?? (one ? 1 : RUNS) };
}

await runIfMain(import.meta.url, simulate);
