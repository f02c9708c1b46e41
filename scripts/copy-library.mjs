// Puts a built library where it is loaded from.

import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { dirname, relative } from 'node:path';
import { root } from './run.mjs';

/** Copies `from` to `to` where they differ. Returns whether it did. */
export function copyLibrary(from, to) {
  if (same(from, to)) return false;
  mkdirSync(dirname(to), { recursive: true });
  // By a new file and a rename: a process that has the old library mapped keeps its old pages. Written in place, the
  // code would change under it, and it would crash.
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
