// The report: one row for each fault.

import { machine, machineTable } from '../../bench/report/machine.mjs';
import { writeResults } from '../../bench/report/results.mjs';
import { table } from '../../bench/report/table.mjs';
import { output } from '../../scripts/run.mjs';
import { mebibytes } from './resources.mjs';

/** The line of a finished fault. */
export function lineOf({ holds, violations, notes, seconds, ...row }) {
  const figures =
    row.calls === undefined ? [] : [`${count(row.calls)} calls`, `slowest ${ms(row.slowestMs)}`, recovery(row)];
  return [
    `  ${holds ? 'holds' : 'DOES NOT HOLD'} in ${seconds.toFixed(1)} s: ${figures.filter((text) => text !== '-').join(', ')}`,
    ...notes.map((note) => `  . ${note}`),
    ...violations.map((violation) => `  ! ${violation}`),
  ].join('\n');
}

export function summary(rows, seconds) {
  const failed = rows.filter(({ holds }) => !holds);
  return `${rowTable(rows)}\n\n${rows.length - failed.length} of ${rows.length} faults hold, in ${Math.round(seconds)} s`;
}

export function writeReport(directory, rows, { command, seconds }) {
  const version = /v=([\d.]+)/.exec(output('redis-server', ['--version']) ?? '')?.[1];
  const results = { command, date: new Date().toISOString(), seconds, machine: machine(version), rows };
  writeResults(directory, 'results.json', 'README.md', results, readme(results));
  console.log(`\nResults are in ${directory}/README.md`);
}

function readme({ command, date, seconds, machine, rows }) {
  const withText = rows.filter(({ notes, violations }) => notes.length + violations.length > 0);
  return `${[
    '# Chaos',
    `\`${command}\`, ${date.slice(0, 10)}, ${Math.round(seconds)} s. Several processes ask all the while, under the policies \`local\`, \`closed\` and \`throw\`; what they were answered is judged by the invariants in [invariants.mjs](../invariants.mjs). The raw figures are in [results.json](results.json).`,
    machineTable(machine),
    rowTable(rows),
    ...LEGEND,
    '## Row by row',
    ...withText.map(({ id, title, notes, violations }) =>
      [
        `**${id} ${title}**`,
        '',
        ...notes.map((note) => `- ${note}`),
        ...violations.map((text) => `- DOES NOT HOLD: ${text.split('\n')[0]}`),
      ].join('\n'),
    ),
  ].join('\n\n')}\n`;
}

const LEGEND = [
  [
    '- **in time**: promises settled by the deadline and 100 ms, of all calls. **slowest**: from call to answer, as the caller saw it; **stall**: the longest stretch in which a process ran no timer although one was due; **waited**: the longest for which its thread for I/O waited for a processor. Both are taken off before a promise counts as late.',
    '- **Redis**: the most admissions by Redis in one window of any id, of those that are due. **all**: the same with those that processes decided by themselves, of one limit and one more for each process; the clocks differ, so a window is 20 ms shorter here.',
    '- **again**: from when Redis takes commands again until every process has been answered by it; the median, and the longest of several. It counts as too long without what the processes and the servers waited for a processor.',
    '- **descriptors**, **threads**, **memory**: of all processes, before the fault and after it.',
  ].join('\n'),
];

function rowTable(rows) {
  const figure = (text) => (row) => (row.calls === undefined ? '-' : text(row));
  return table(
    {
      fault: ({ id, title }) => `${id} ${title}`,
      calls: figure(({ calls }) => count(calls)),
      'in time': figure(({ calls, late, settled }) => (settled - late === calls ? 'all' : `${count(settled - late)}`)),
      slowest: figure(({ slowestMs }) => ms(slowestMs)),
      stall: figure(({ longestStallMs }) => (longestStallMs === 0 ? '-' : ms(longestStallMs))),
      waited: figure(({ longestQueuedMs }) => (longestQueuedMs === 0 ? '-' : ms(longestQueuedMs))),
      Redis: figure(({ ofRedis, dueOfRedis }) => `${ofRedis} of ${dueOfRedis}`),
      all: figure(({ ofAll, dueOfAll }) => `${ofAll} of ${dueOfAll}`),
      again: figure(recovery),
      descriptors: figure(({ before, after }) => `${before.descriptors} -> ${after.descriptors}`),
      threads: figure(({ before, after }) => `${before.threads} -> ${after.threads}`),
      'memory, MiB': figure(({ before, after }) => `${mebibytes(before.memory)} -> ${mebibytes(after.memory)}`),
      holds: ({ holds, violations }) => (holds ? 'yes' : `no: ${[...new Set(violations.map(kindOf))].join(', ')}`),
    },
    rows,
  );
}

/** The invariant of a violation. */
export function kindOf(violation) {
  return /^(\w+):/.exec(violation)?.[1] ?? 'the row';
}

function recovery({ recoveries = [] }) {
  if (recoveries.length === 0) return '-';
  const sorted = [...recoveries].sort((a, b) => a - b);
  const median = sorted[sorted.length >> 1];
  return sorted.length === 1 ? ms(median) : `${ms(median)} (${ms(sorted.at(-1))})`;
}

function ms(value) {
  return Number.isFinite(value) ? `${Math.round(value).toLocaleString('en')} ms` : 'never';
}

function count(value) {
  return value.toLocaleString('en');
}
