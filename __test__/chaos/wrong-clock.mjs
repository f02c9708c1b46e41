// A wrong wall clock, for a server or for a process; see wrong-clock.c.

import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../../scripts/run.mjs';

const SOURCE = fileURLToPath(new URL('wrong-clock.c', import.meta.url));

export class WrongClock {
  #directory = mkdtempSync(join(tmpdir(), 'rate-limit-clock-'));
  #file = join(this.#directory, 'seconds');

  constructor(seconds = 0) {
    const library = join(this.#directory, 'wrong-clock.so');
    // The compiler that Rust links with.
    run('cc', ['-shared', '-fPIC', '-O2', '-o', library, SOURCE]);
    writeFileSync(this.#file, bytes(seconds));
    this.env = { LD_PRELOAD: library, WRONG_CLOCK: this.#file };
  }

  /** Written in place: a process that has mapped the file sees it at once. */
  set(seconds) {
    const file = openSync(this.#file, 'r+');
    writeSync(file, bytes(seconds), 0, 8, 0);
    closeSync(file);
  }

  remove() {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

function bytes(seconds) {
  const buffer = Buffer.alloc(8);
  buffer.writeBigInt64LE(BigInt(seconds));
  return buffer;
}
