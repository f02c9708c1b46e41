// Checks Rust and the components that a step needs, or prints how to install them.

import { Failure, runIfMain, output, run } from './run.mjs';

const INSTALL_HINT =
  'install Rust 1.88 or newer from https://rustup.rs, and a C compiler (Debian: apt-get install build-essential)';

/** With rustup, the cargo of the toolchain in rust-toolchain.toml, which rustup installs if it is missing. */
export function requireCargo() {
  if (output('cargo', ['--version']) !== undefined) return;
  if (output('rustup', ['--version']) === undefined) throw new Failure(`cargo is missing: ${INSTALL_HINT}`);
  throw new Failure(
    'the toolchain of rust-toolchain.toml is missing: rustup toolchain install (or set RUSTUP_TOOLCHAIN to another, 1.88 or newer)',
  );
}

/** The target triple of this machine. */
export function hostTarget() {
  requireCargo();
  const triple = /^host: (\S+)$/m.exec(output('rustc', ['-vV']) ?? '')?.[1];
  if (triple === undefined) throw new Failure('rustc does not say what it builds for: rustc -vV');
  return triple;
}

/** A minimal toolchain lacks rustfmt and clippy; rustup can add them. */
export function requireComponents() {
  requireCargo();
  const missing = ['fmt', 'clippy'].filter((name) => output('cargo', [name, '--version']) === undefined);
  if (missing.length === 0) return;
  const components = missing.map((name) => (name === 'fmt' ? 'rustfmt' : name));
  if (output('rustup', ['--version']) === undefined) {
    throw new Failure(`${components.join(' and ')} missing: install with your distribution's Rust, or use rustup`);
  }
  run('rustup', ['component', 'add', ...components]);
}

/** The standard library of a target, which rustup can add; without rustup, cargo reports that it is missing. */
export function requireTarget(target) {
  requireCargo();
  const installed = output('rustup', ['target', 'list', '--installed']);
  if (installed !== undefined && !installed.split('\n').includes(target)) run('rustup', ['target', 'add', target]);
}

await runIfMain(import.meta.url, requireComponents);
