'use strict';

// Whether a library of Linux is whole. The system maps the file and does not ask: where a copy, a download or a disk that was
// full has left a part of it, the process ends by SIGBUS or SIGSEGV as soon as it reads what is not there. The loaders of macOS
// and Windows refuse such a file themselves. The file is held against what it says of itself (elf(5), ELF64), not against a
// size written down beside it: a distribution may strip or patch it.

const { closeSync, fstatSync, openSync, readSync } = require('node:fs');

const MAGIC = '\x7fELF\x02\x01';
const HEADER_BYTES = 64;
const STRING_TABLE = 3;

/**
 * What is wrong with it, or undefined: also for what is no ELF file at all, which the system does refuse.
 *
 * @param {string} file
 */
function damageOf(file) {
  const descriptor = openSync(file, 'r');
  try {
    const { size } = fstatSync(descriptor);
    return damage(size, (at, length) => {
      const bytes = Buffer.alloc(length);
      // Zeros in place of what is not there.
      readSync(descriptor, bytes, 0, length, at);
      return bytes;
    });
  } finally {
    closeSync(descriptor);
  }
}

/**
 * @param {number} size
 * @param {(at: number, length: number) => Buffer} read
 */
function damage(size, read) {
  if (size === 0) return 'it is empty';
  const header = read(0, HEADER_BYTES);
  if (!header.toString('latin1').startsWith(MAGIC)) return undefined;
  const segments = { at: position(header, 32), each: header.readUInt16LE(54), count: header.readUInt16LE(56) };
  const sections = { at: position(header, 40), each: header.readUInt16LE(58), count: header.readUInt16LE(60) };
  const table = segments.at < size ? read(segments.at, segments.each * segments.count) : Buffer.alloc(0);
  let end = Math.max(endOf(segments), endOf(sections));
  for (let at = 0; at + 40 <= table.length; at += segments.each) {
    end = Math.max(end, position(table, at + 8) + position(table, at + 32));
  }
  if (end > size) return `it ends after ${size} of ${end} bytes`;
  // The sections come last. One of them holds their names: it is of another type where zeros or shifted bytes follow.
  const names = sections.at + sections.each * header.readUInt16LE(62);
  const isWhole = sections.count === 0 || read(names + 4, 4).readUInt32LE() === STRING_TABLE;
  return isWhole ? undefined : 'its bytes are not where it says';
}

/** @param {{ at: number, each: number, count: number }} table */
function endOf({ at, each, count }) {
  return count === 0 ? 0 : at + each * count;
}

/** @type {(bytes: Buffer, at: number) => number} */
function position(bytes, at) {
  return Number(bytes.readBigUInt64LE(at));
}

module.exports = { damageOf };
