import { parse } from '../support/open-metrics';

// The tests' OpenMetrics parser rejects invalid texts: otherwise checking with it would prove nothing.

const family = (type: string, ...samples: string[]) =>
  [`# TYPE m ${type}`, '# HELP m Help.', ...samples, '# EOF', ''].join('\n');
const histogram = (...buckets: string[]) => family('histogram', ...buckets, 'm_count 2', 'm_sum 3');

test('reads a valid text', () => {
  expect(parse(family('counter', 'm_total{a="1",b="x\\"\\\\\\n"} 1.5', 'm_total{a="2"} 1e3'))).toEqual([
    {
      name: 'm',
      type: 'counter',
      unit: undefined,
      help: 'Help.',
      samples: [
        { name: 'm_total', labels: { a: '1', b: 'x"\\\n' }, value: 1.5 },
        { name: 'm_total', labels: { a: '2' }, value: 1000 },
      ],
    },
  ]);
  parse(histogram('m_bucket{le="1.0"} 1', 'm_bucket{le="+Inf"} 2'));
  parse(family('stateset', 'm{m="on"} 1', 'm{m="off"} 0'));
});

test.each([
  ['a text without its end', '# TYPE m gauge\n# HELP m Help.\nm 1\n'],
  ['a last line without its end', family('gauge', 'm 1').trimEnd()],
  ['a sample without a family', 'm 1\n# EOF\n'],
  ['a sample of another family', family('gauge', 'n 1')],
  ['an empty line', family('gauge', 'm 1', '')],
  ['a type that does not exist', family('metre', 'm 1')],
  ['a repeated type', family('gauge').replace('# HELP', '# TYPE m gauge\n# HELP')],
  ['a unit that is not in the name', family('gauge', 'm 1').replace('# HELP', '# UNIT m seconds\n# HELP')],
  ['a repeated family', family('gauge', 'm 1').replace('# EOF\n', family('gauge', 'm 1'))],
  ['a counter without _total', family('counter', 'm 1')],
  ['a negative counter', family('counter', 'm_total -1')],
  ['a repeated series', family('gauge', 'm{a="1"} 1', 'm{a="1"} 2')],
  ['a repeated label', family('gauge', 'm{a="1",a="2"} 1')],
  ['a quote that is not escaped', family('gauge', 'm{a="""} 1')],
  ['an escape that does not exist', family('gauge', 'm{a="\\t"} 1')],
  ['braces around nothing', family('gauge', 'm{} 1')],
  ['a value that is no number', family('gauge', 'm one')],
  ['a state without its label', family('stateset', 'm{state="on"} 1')],
  ['a state of 2', family('stateset', 'm{m="on"} 2')],
  ['a histogram without +Inf', histogram('m_bucket{le="1.0"} 2')],
  ['descending bounds', histogram('m_bucket{le="2.0"} 1', 'm_bucket{le="1.0"} 1', 'm_bucket{le="+Inf"} 2')],
  ['non-cumulative buckets', histogram('m_bucket{le="1.0"} 3', 'm_bucket{le="+Inf"} 2')],
  ['a count that differs from +Inf', histogram('m_bucket{le="1.0"} 1', 'm_bucket{le="+Inf"} 1')],
  ['a bound that is not canonical', histogram('m_bucket{le="1"} 1', 'm_bucket{le="+Inf"} 2')],
  [
    'a metric in pieces',
    family(
      'histogram',
      ...['a', 'b'].map((x) => `m_bucket{x="${x}",le="+Inf"} 2`),
      ...['a', 'b'].flatMap((x) => [`m_count{x="${x}"} 2`, `m_sum{x="${x}"} 1`]),
    ),
  ],
])('refuses %s', (_, text) => {
  expect(() => parse(text)).toThrow(/^OpenMetrics: /);
});
