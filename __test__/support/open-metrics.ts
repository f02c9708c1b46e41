// A strict parser of OpenMetrics text, version 1.0.0, for the kinds of metric that this package writes: it rejects
// everything that the specification forbids with MUST NOT or discourages.

export interface Sample {
  readonly name: string;
  readonly labels: Record<string, string>;
  readonly value: number;
}

export interface Family {
  readonly name: string;
  readonly type: string;
  readonly unit: string | undefined;
  readonly help: string;
  readonly samples: Sample[];
}

const NAME = '[a-zA-Z_][a-zA-Z0-9_]*';
const QUOTED = '"(?:[^"\\\\\\n]|\\\\["\\\\n])*"';
const NUMBER = '[+-]?(?:\\d+(?:\\.\\d*)?|\\.\\d+)(?:[eE][+-]?\\d+)?';
const METADATA = new RegExp(`^# (TYPE|UNIT|HELP) (${NAME}) (.*)$`);
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(${NAME}=${QUOTED}(?:,${NAME}=${QUOTED})*)\\})? (${NUMBER})$`);
const LABEL = new RegExp(`(${NAME})=(${QUOTED})`, 'g');
const SUFFIXES: Record<string, string[]> = {
  counter: ['_total'],
  gauge: [''],
  stateset: [''],
  histogram: ['_bucket', '_count', '_sum'],
};

export function parse(text: string): Family[] {
  const lines = text.split('\n');
  must(lines.pop() === '', 'the last line must end');
  must(lines.pop() === '# EOF', 'the text must end with # EOF');
  const families: Family[] = [];
  for (let at = 0; at < lines.length;) {
    const metadata: Record<string, string> = {};
    const name = METADATA.exec(lines[at]!)?.[2] ?? fail(`a family must begin with its metadata: ${lines[at]}`);
    for (let match; at < lines.length && (match = METADATA.exec(lines[at]!))?.[2] === name; at++) {
      must(!(match![1]! in metadata), `${match![1]} of ${name} must occur once`);
      metadata[match![1]!] = match![3]!;
    }
    const { TYPE: type, UNIT: unit, HELP: help } = metadata;
    must(type !== undefined && type in SUFFIXES, `${name} must have a known type, not ${type}`);
    must(unit === undefined || name.endsWith(`_${unit}`), `${name} must end with its unit ${unit}`);
    const samples: Sample[] = [];
    while (at < lines.length && !lines[at]!.startsWith('#')) samples.push(sampleOf(lines[at++]!));
    families.push({ name, type: type!, unit, help: unescaped(help ?? ''), samples });
  }
  namesMustNotClash(families);
  families.forEach(check);
  return families;
}

function sampleOf(line: string): Sample {
  const [, name, labels = '', value] = SAMPLE.exec(line) ?? fail(`no sample: ${line}`);
  const pairs = [...labels.matchAll(LABEL)].map(([, label, text]) => [label!, unescaped(text!.slice(1, -1))] as const);
  must(new Set(pairs.map(([label]) => label)).size === pairs.length, `a label must be given once: ${line}`);
  return { name: name!, labels: Object.fromEntries(pairs), value: Number(value) };
}

function unescaped(text: string): string {
  return text.replace(/\\(.)/g, (_, escape: string) => (escape === 'n' ? '\n' : escape));
}

/** A sample name must belong to one family. */
function namesMustNotClash(families: Family[]) {
  const names = families.flatMap(({ name, type }) => [
    ...new Set([name, `${name}_created`, ...SUFFIXES[type]!.map((suffix) => name + suffix)]),
  ]);
  must(new Set(names).size === names.length, 'names of families must not clash');
}

function check(family: Family) {
  const { name, type, samples } = family;
  for (const sample of samples) {
    must(
      SUFFIXES[type]!.some((suffix) => sample.name === name + suffix),
      `${sample.name} must not be in the ${type} ${name}`,
    );
    must(type === 'gauge' || sample.value >= 0, `${sample.name} must not be negative`);
    must('le' in sample.labels === sample.name.endsWith('_bucket'), `le belongs to a bucket: ${sample.name}`);
  }
  const series = samples.map(({ name, labels }) => JSON.stringify([name, Object.entries(labels).sort()]));
  must(new Set(series).size === series.length, `a series of ${name} must occur once`);
  const metrics = groups(family);
  if (type === 'stateset') metrics.forEach((states) => checkStates(name, states));
  if (type === 'histogram') metrics.forEach((samples) => checkHistogram(name, samples));
}

/** The samples of each metric, which must be adjacent. */
function groups({ name, samples }: Family): Sample[][] {
  const metrics = new Map<string, Sample[]>();
  let last: string | undefined;
  for (const sample of samples) {
    const { le, [name]: state, ...labels } = sample.labels;
    const key = JSON.stringify(Object.entries(labels).sort());
    must(key === last || !metrics.has(key), `the samples of a metric of ${name} must stand together`);
    metrics.set((last = key), [...(metrics.get(key) ?? []), sample]);
  }
  return [...metrics.values()];
}

function checkStates(name: string, states: Sample[]) {
  for (const { labels, value } of states) {
    must(name in labels, `a state of ${name} must have the label ${name}`);
    must(value === 0 || value === 1, `a state of ${name} must be 0 or 1`);
  }
}

function checkHistogram(name: string, samples: Sample[]) {
  const buckets = samples.filter((sample) => sample.name === `${name}_bucket`);
  const bounds = buckets.map(({ labels }) => labels.le!);
  must(bounds.at(-1) === '+Inf', `the last bucket of ${name} must be that of +Inf`);
  for (const le of bounds.slice(0, -1)) must(new RegExp(`^${NUMBER}$`).test(le), `no bound: ${le}`);
  // Canonical numbers: a dot or an exponent, and no digit too many.
  for (const le of bounds.slice(0, -1))
    must(/^(?:\d+\.(?:0|\d*[1-9])|\d(?:\.\d*[1-9])?e[+-]\d\d)$/.test(le), `not canonical: ${le}`);
  const numbers = bounds.map((le) => (le === '+Inf' ? Infinity : Number(le)));
  for (let i = 1; i < buckets.length; i++) {
    must(numbers[i]! > numbers[i - 1]!, `the bounds of ${name} must rise`);
    must(buckets[i]!.value >= buckets[i - 1]!.value, `the buckets of ${name} must be cumulated`);
  }
  const rest = samples.slice(buckets.length);
  must(
    rest.map((sample) => sample.name).join() === `${name}_count,${name}_sum`,
    `${name} must have its count and sum after its buckets`,
  );
  must(rest[0]!.value === buckets.at(-1)!.value, `the count of ${name} must be that of +Inf`);
}

function must(holds: boolean, what: string): asserts holds {
  if (!holds) fail(what);
}

function fail(what: string): never {
  throw new Error(`OpenMetrics: ${what}`);
}
