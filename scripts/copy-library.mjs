// Copies a built library to the path from which it is loaded.

import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { dirname, relative } from 'node:path';
import { root } from './run.mjs';

/** Copies `from` to `to` if they differ. Returns whether it did. */
export function copyLibrary(from, to) {
  if (same(from, to)) return false;
  mkdirSync(dirname(to), { recursive: true });
  // Copied to a new file, which is renamed: a process that has mapped the old library keeps its pages. Overwriting it
  // would change its code and crash it.
  const fresh = `${to}.${process.pid}.node`;
  try {
    copyFileSync(from, fresh);
    renameSync(fresh, to);
  } finally {
    rmSync(fresh, { force: true });
  }
  console.log(`${relative(root, to)} is new`);
  return true;
}

function same(a, b) {
  try {
    return readFileSync(a).equals(readFileSync(b));
  } catch (error) {
    if (error.code === 'ENOENT') return false;
    throw error;
  }
}
