// The glibc versions that an ELF file requires. Read from the file itself: not every machine has readelf. The layout is
// that of the ELF-64 specification and, for the versions, of the Linux Standard Base's "Symbol Versioning".

import { readFileSync } from 'node:fs';
import { Failure, runIfMain } from './run.mjs';

const SHT_GNU_VERNEED = 0x6ffffffe;

/** Every version such as '2.17' that the file's symbols require, oldest first. */
export function glibcVersions(file) {
  const elf = readFileSync(file);
  // 64 bits, little-endian: true of all our Linux targets.
  if (elf.readUInt32BE(0) !== 0x7f454c46 || elf[4] !== 2 || elf[5] !== 1)
    throw new Failure(`${file} is no 64-bit ELF file`);
  const sections = readSections(elf);
  const versions = new Set();
  for (const section of sections.filter(({ type }) => type === SHT_GNU_VERNEED)) {
    const names = sections[section.link].offset;
    for (const name of neededVersions(elf, section, names)) {
      const match = /^GLIBC_([\d.]+)$/.exec(name);
      if (match) versions.add(match[1]);
    }
  }
  return [...versions].sort(byVersion);
}

function readSections(elf) {
  const table = Number(elf.readBigUInt64LE(0x28));
  const [size, count] = [elf.readUInt16LE(0x3a), elf.readUInt16LE(0x3c)];
  return Array.from({ length: count }, (_, i) => {
    const at = table + i * size;
    return {
      type: elf.readUInt32LE(at + 4),
      offset: Number(elf.readBigUInt64LE(at + 24)),
      link: elf.readUInt32LE(at + 40),
      entries: elf.readUInt32LE(at + 44),
    };
  });
}

/** One Elf64_Verneed for each library, with a chain of Elf64_Vernaux, one for each version. */
function* neededVersions(elf, { offset, entries }, names) {
  let library = offset;
  for (let i = 0; i < entries; i++) {
    let version = library + elf.readUInt32LE(library + 8);
    for (let j = elf.readUInt16LE(library + 2); j > 0; j--) {
      const start = names + elf.readUInt32LE(version + 8);
      yield elf.toString('latin1', start, elf.indexOf(0, start));
      version += elf.readUInt32LE(version + 12);
    }
    library += elf.readUInt32LE(library + 12);
  }
}

export function byVersion(a, b) {
  return a.localeCompare(b, 'en', { numeric: true });
}

await runIfMain(import.meta.url, (file) => console.log(glibcVersions(file).join('\n')));
