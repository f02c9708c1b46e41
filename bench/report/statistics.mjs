// Medians and spreads over the rounds of a run.

/** `{ median, min, max }` of a list of numbers, or undefined for none. */
export function summary(values) {
  if (values.length === 0) return undefined;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { median, min: sorted[0], max: sorted.at(-1) };
}

/** The measurements with all these properties. */
export function select(measurements, properties) {
  const wanted = Object.entries(properties);
  return measurements.filter((measurement) => wanted.every(([name, value]) => measurement[name] === value));
}

/** The median and spread of a figure. */
export function summaryOf(measurements, properties, name) {
  return summary(select(measurements, properties).map((measurement) => measurement[name]));
}

/** As a text: the median and, if there is one, the spread. */
export function spread({ median, min, max }, text) {
  return text(min) === text(max) ? text(median) : `${text(median)} (${text(min)} to ${text(max)})`;
}
