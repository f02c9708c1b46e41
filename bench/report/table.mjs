// Markdown tables whose columns line up in the source as well.

/** @param columns `{ head: (row) => text }`, in order; the first is text, the others are figures */
export function table(columns, rows) {
  const heads = Object.keys(columns);
  const cells = rows.map((row) => heads.map((head) => columns[head](row)));
  const widths = heads.map((head, i) => Math.max(3, head.length, ...cells.map((line) => line[i].length)));
  const line = (texts) =>
    `| ${texts.map((text, i) => (i === 0 ? text.padEnd(widths[i]) : text.padStart(widths[i]))).join(' | ')} |`;
  const rule = `| ${widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`;
  return [line(heads), rule, ...cells.map(line)].join('\n');
}
