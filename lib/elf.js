'use strict';

// Whether a shared library of Linux is complete. The system maps the file without a check: if an interrupted copy or
// download, or a full disk, has truncated it, the process ends by SIGBUS or SIGSEGV when it reads a missing page. The
// loaders of macOS and Windows refuse such a file themselves. The file is compared with its own headers (elf(5), ELF64)
// and not with a size recorded beside it: a distribution may strip or patch it.

const { closeSync, fstatSync, openSync, readSync } = require('node:fs');

const MAGIC = '\x7fELF\x02\x01';
const HEADER_BYTES = 64;
const STRING_TABLE = 3;

/**
 * Describes the damage of a file. Undefined if there is none, and for a file that is not ELF: the system refuses that.
 *
 * @param {string} file
 */
function damageOf(file) {
  const descriptor = openSync(file, 'r');
  try {
    const { size } = fstatSync(descriptor);
    return damage(size, (at, length) => {
      const bytes = Buffer.alloc(length);
      // Bytes beyond the end of the file read as zeros.
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
  // The section headers come last. One describes the table of section names: zeros or shifted bytes give it another
  // type.
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
