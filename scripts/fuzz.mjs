// Builds the fuzz targets and runs each for a while: `node scripts/fuzz.mjs [--seconds=15] [--runs=N] [--only=NAME]
// [--fresh]`. With --lint alone it formats and lints them, and runs none.
//
// The initial inputs are in __test__/fuzz/seeds, including every one that has ever failed. Inputs with new coverage are
// kept in target/fuzz/corpus from run to run; --fresh begins with the seeds alone.

import { spawnSync } from 'node:child_process';
import { closeSync, copyFileSync, mkdirSync, openSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { aptInstall, isRootOnDebian } from './apt.mjs';
import { addResults } from './test-results.mjs';
import { Failure, runIfMain, output, root, run } from './run.mjs';
import { hostTarget, requireCargo } from './rust.mjs';

const CARGO_FUZZ = '0.13.2';

const crate = join(root, '__test__', 'fuzz');
const manifest = relative(root, join(crate, 'Cargo.toml'));
const tools = join(root, 'target', 'cargo-tools');
const work = join(root, 'target', 'fuzz');

/** The default number of executions, after which a target ends even before its seconds have passed. */
const RUNS = 5_000_000;

/** An input takes microseconds. One that takes this long on the slowest machine does not end. */
const INPUT_TIMEOUT_SECONDS = 120;

/** A target uses less than 150 MB; one that uses this much leaks. */
const MEMORY_MB = 1024;

/**
 * Runs the targets, each counted as a test in the last line. Resolves to a row for each; a Failure names the failed
 * ones.
 */
export async function fuzz(...args) {
  if (args.length === 1 && args[0] === '--lint') return lint();
  const { seconds, runs, only, fresh } = options(args);
  const names = targets().filter((name) => only === undefined || name === only);
  if (names.length === 0) throw new Failure(`no such target: ${only}; there are ${targets().join(', ')}`);
  build();
  const rows = names.map((name) => {
    const row = runTarget(name, { seconds, runs, fresh });
    addResults(row.problem ? 0 : 1, row.problem ? 1 : 0);
    console.log(line(row));
    return row;
  });
  const failed = rows.filter(({ problem }) => problem);
  if (failed.length > 0) throw new Failure(failed.map(({ name, problem }) => `${name}: ${problem}`).join('\n'));
  return rows;
}

function options(args) {
  const found = { seconds: 15, runs: RUNS, only: undefined, fresh: false };
  for (const arg of args) {
    const [, name, value] = /^--(seconds|runs|only|fresh)(?:=(.+))?$/.exec(arg) ?? [];
    if (name === 'fresh' && value === undefined) found.fresh = true;
    else if (name === 'only' && value !== undefined) found.only = value;
    else if ((name === 'seconds' || name === 'runs') && /^[1-9]\d*$/.test(value)) found[name] = Number(value);
    else throw new Failure(`unknown option ${arg}: --seconds=N, --runs=N, --only=NAME and --fresh are known`);
  }
  return found;
}

function targets() {
  return readdirSync(join(crate, 'targets'))
    .filter((file) => file.endsWith('.rs'))
    .map((file) => basename(file, '.rs'));
}

function lint() {
  requireCargo();
  requireCompiler();
  run('cargo', ['fmt', '--check', '--manifest-path', manifest]);
  // In the target folder of the package, where most of the dependencies are already built.
  const options = ['--manifest-path', manifest, '--target-dir', join(root, 'target'), '--locked'];
  run('cargo', ['clippy', ...options, '--', '-D', 'warnings']);
}

function build() {
  requireCargo();
  requireCompiler();
  requireSameVersions();
  // cargo-fuzz would silently update the lock file.
  run('cargo', ['fetch', '--quiet', '--locked', '--manifest-path', manifest, '--target', hostTarget()]);
  // Without a sanitizer, the package's own compiler is enough. AddressSanitizer needs a nightly compiler, halves
  // the speed (https://clang.llvm.org/docs/AddressSanitizer.html), and finds errors that safe code cannot have: the
  // fuzzed code of this package has no `unsafe`. Overflows and debug assertions are checked.
  run(
    cargoFuzz(),
    ['build', '--sanitizer=none', `--fuzz-dir=${crate}`, `--target-dir=${work}`, `--target=${hostTarget()}`],
    {
      env: { ...process.env, CARGO_TERM_QUIET: 'true' },
    },
  );
}

/** cargo-fuzz in the pinned version, installed if it is missing. */
function cargoFuzz() {
  const program = join(tools, 'bin', process.platform === 'win32' ? 'cargo-fuzz.exe' : 'cargo-fuzz');
  if (output(program, ['--version']) !== `cargo-fuzz ${CARGO_FUZZ}`) {
    console.log(`Installing cargo-fuzz ${CARGO_FUZZ}`);
    run('cargo', ['install', '--quiet', '--locked', '--root', tools, 'cargo-fuzz', '--version', CARGO_FUZZ]);
  }
  return program;
}

/** libFuzzer is written in C++, so its build needs a C++ compiler. */
function requireCompiler() {
  const compiler = process.env.CXX ?? 'c++';
  if (process.platform === 'win32' || output(compiler, ['--version']) !== undefined) return;
  if (!isRootOnDebian()) throw new Failure('a C++ compiler is missing (Debian: sudo apt-get install g++)');
  aptInstall('g++');
}

/** Fails unless the fuzzed dependencies have the same versions as the shipped ones. */
function requireSameVersions() {
  const [ours, theirs] = [root, crate].map((folder) => lockedVersions(join(folder, 'Cargo.lock')));
  const differ = [...theirs].filter(
    ([name, versions]) => ours.has(name) && !versions.every((v) => ours.get(name).includes(v)),
  );
  if (differ.length === 0) return;
  const lock = relative(root, join(crate, 'Cargo.lock'));
  throw new Failure(
    `${lock} has other versions of ${differ.map(([name]) => name).join(', ')} than Cargo.lock: ` +
      `cp Cargo.lock ${lock} && cargo fetch --manifest-path ${manifest}`,
  );
}

function lockedVersions(file) {
  const versions = new Map();
  for (const [, name, version] of readFileSync(file, 'utf8').matchAll(/^name = "(.+)"\nversion = "(.+)"$/gm)) {
    versions.set(name, [...(versions.get(name) ?? []), version]);
  }
  return versions;
}

function runTarget(name, { seconds, runs, fresh }) {
  const [corpus, artifacts] = ['corpus', 'artifacts'].map((kind) => join(work, kind, name));
  if (fresh) rmSync(corpus, { recursive: true, force: true });
  // Failing inputs of earlier runs are among the seeds.
  rmSync(artifacts, { recursive: true, force: true });
  for (const folder of [corpus, artifacts]) mkdirSync(folder, { recursive: true });
  const program = join(work, hostTarget(), 'release', name);
  const log = join(work, `${name}.log`);
  const fd = openSync(log, 'w');
  const { status, signal, error } = spawnSync(
    program,
    [
      corpus,
      join(crate, 'seeds', name),
      `-dict=${join(crate, 'dictionaries', `${name}.dict`)}`,
      `-max_total_time=${seconds}`,
      `-runs=${runs}`,
      `-timeout=${INPUT_TIMEOUT_SECONDS}`,
      `-rss_limit_mb=${MEMORY_MB}`,
      `-artifact_prefix=${artifacts}/`,
      '-print_final_stats=1',
    ],
    { stdio: ['ignore', fd, fd], env: { ...process.env, RUST_BACKTRACE: '0' } },
  );
  closeSync(fd);
  if (error) throw new Failure(`cannot start ${program}: ${error.message}`);
  const row = { name, ...statisticsOf(readFileSync(log, 'latin1')) };
  if (status !== 0) row.problem = failureOf(name, program, artifacts, `${signal ?? `exit code ${status}`}`, log);
  // A run without executions has found nothing, and proves nothing.
  else if (!(row.executions > 0)) row.problem = `nothing was executed; see ${relative(root, log)}`;
  else if (!(row.edges > 0)) row.problem = `no coverage was measured; see ${relative(root, log)}`;
  return row;
}

/** The output of libFuzzer: `#N INITED cov: EDGES ft: … corp: INPUTS/SIZE …`, and statistics at the end. */
function statisticsOf(text) {
  const steps = [...text.matchAll(/^#\d+\s+(\w+)\s+cov: (\d+) .*corp: (\d+)\//gm)];
  const begun = steps.find(([, what]) => what === 'INITED');
  const last = steps.at(-1);
  const statistic = (name) => Number(new RegExp(`^stat::${name}:\\s+(\\d+)$`, 'm').exec(text)?.[1] ?? 0);
  return {
    executions: statistic('number_of_executed_units'),
    perSecond: statistic('average_exec_per_sec'),
    edgesBefore: Number(begun?.[2] ?? 0),
    edges: Number(last?.[2] ?? 0),
    inputs: Number(last?.[3] ?? 0),
  };
}

/** Copies the failing input to the seeds, for the next run and for debugging. */
function failureOf(name, program, artifacts, how, log) {
  const text = readFileSync(log, 'latin1');
  const message =
    /panicked at (.+)\n(.*)/.exec(text)?.slice(1, 3).join(' ') ?? /^SUMMARY: (.+)$/m.exec(text)?.[1] ?? how;
  const [found] = readdirSync(artifacts);
  if (found === undefined) return `${message}; see ${relative(root, log)}`;
  const input = readFileSync(join(artifacts, found));
  const seeds = join(crate, 'seeds', name);
  const known = readdirSync(seeds).find((seed) => readFileSync(join(seeds, seed)).equals(input));
  const seedFile = join(seeds, known ?? `found-${found.replace(/^\w+-/, '').slice(0, 12)}`);
  if (known === undefined) copyFileSync(join(artifacts, found), seedFile);
  return `${message}\n  the input: ${relative(root, seedFile)}, to be committed with the fix\n  to see it alone: ${relative(root, program)} ${relative(root, seedFile)}`;
}

function line({ name, executions, perSecond, edgesBefore, edges, inputs, problem }) {
  const [n, a, b] = [executions, perSecond, inputs].map((number) => number.toLocaleString('en'));
  const found = problem ? 'FAILED' : 'nothing found';
  return `${name}: ${n} executions, ${a}/s, ${edgesBefore} -> ${edges} edges, ${b} inputs in the corpus, ${found}`;
}

await runIfMain(import.meta.url, fuzz);
