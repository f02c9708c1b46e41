// The charts of the growth: two panels each, cost and memory.

import { join } from 'node:path';
import {
  MUTED_COLOUR,
  GRID_COLOUR,
  OWN_COLOUR,
  SECOND_COLOUR,
  bars,
  categoryAxis,
  heading,
  thousands,
  valueAxis,
  write,
} from './chart.mjs';
import { count, twoDigits } from './number-format.mjs';
import { select } from './statistics.mjs';

const [WIDTH, HEIGHT] = [960, 380];
const panels = [
  { left: 80, top: 110, width: 360, height: 190 },
  { left: 560, top: 110, width: 360, height: 190 },
];

export function drawGrowth(directory, measurements) {
  const rows = (kind, more) => select(measurements, { kind, ...more });
  write(join(directory, 'growth-creators.svg'), creators(rows('growth-creators')));
  write(
    join(directory, 'growth-limits.svg'),
    limits(rows('growth-limits', { traffic: 'allowed' }), rows('growth-limits', { traffic: 'denied' })),
  );
  write(join(directory, 'growth-soak.svg'), soak(rows('growth-soak')[0].samples));
}

function creators(rows) {
  const x = categoryAxis(
    rows.map((row) => row.creators.toLocaleString('en')),
    { name: 'creators' },
  );
  const of = (name) => rows.map((row) => row[name]);
  return twoPanels('The number of creators, 200 in flight', [
    {
      title: 'Cost of a check',
      x,
      y: valueAxis('microseconds of processor'),
      series: [
        series('the process', OWN_COLOUR, bars(of('cpuMicros'), twoDigits, 'top')),
        series('Redis', SECOND_COLOUR, bars(of('redisMicros'), twoDigits, 'top')),
      ],
    },
    {
      title: 'Checks a second',
      x,
      y: valueAxis('checks/s', { axisLabel: { color: MUTED_COLOUR, formatter: thousands } }),
      series: [series('checks a second', OWN_COLOUR, bars(of('perSecond'), count, 'top'))],
    },
  ]);
}

function limits(allowed, denied) {
  const x = categoryAxis(
    allowed.map(({ limit }) => limit.toLocaleString('en')),
    { name: 'limit' },
  );
  const panel = (title, unit, name) => ({
    title,
    x,
    y: valueAxis(unit),
    series: [
      series(
        'allowed',
        OWN_COLOUR,
        bars(
          allowed.map((row) => row[name]),
          twoDigits,
          'top',
        ),
      ),
      series(
        'denied',
        SECOND_COLOUR,
        bars(
          denied.map((row) => row[name]),
          twoDigits,
          'top',
        ),
      ),
    ],
  });
  return twoPanels('The limit, on full logs', [
    panel('CPU of Redis a check', 'microseconds of processor', 'redisMicros'),
    panel('Latency, p50', 'milliseconds', 'p50'),
  ]);
}

function soak(samples) {
  const over = (name) => samples.map((sample) => [sample.checks / 1e6, sample[name] / 1e6]);
  const panel = (title, lines) => ({
    title,
    x: valueAxis('million checks', {
      max: 'dataMax',
      splitLine: { show: false },
      axisLabel: { color: MUTED_COLOUR, showMaxLabel: true, formatter: (value) => `${Math.round(value * 10) / 10}` },
    }),
    y: valueAxis('MB', { min: 0 }),
    series: lines.map(([name, colour, field]) =>
      series(name, colour, { type: 'line', data: over(field), showSymbol: false }),
    ),
  });
  return twoPanels('Memory during the soak', [
    panel('The process', [
      ['resident', OWN_COLOUR, 'rss'],
      ['heap of JavaScript', SECOND_COLOUR, 'heapUsed'],
    ]),
    panel('Redis', [['used memory', OWN_COLOUR, 'redis']]),
  ]);
}

function twoPanels(title, charts) {
  const of = (make) => charts.map(make);
  return {
    width: WIDTH,
    height: HEIGHT,
    title: [
      heading(title),
      ...of((chart, i) => ({
        text: chart.title,
        left: panels[i].left,
        top: 56,
        padding: 0,
        textStyle: { fontSize: 13, fontWeight: 600 },
      })),
    ],
    legend: of(({ series }, i) => ({
      left: panels[i].left,
      top: 78,
      padding: 0,
      itemGap: 24,
      data: series.map(({ name }) => name),
      show: series.length > 1,
    })),
    grid: panels,
    xAxis: of(({ x }, i) => ({
      ...x,
      gridIndex: i,
      nameLocation: 'middle',
      nameGap: 32,
      nameTextStyle: { color: MUTED_COLOUR },
    })),
    yAxis: of(({ y }, i) => ({ ...y, gridIndex: i, nameGap: 48, axisLine: { lineStyle: { color: GRID_COLOUR } } })),
    series: charts.flatMap(({ series }, i) => series.map((one) => ({ ...one, xAxisIndex: i, yAxisIndex: i }))),
  };
}

function series(name, colour, drawn) {
  return { ...drawn, name, itemStyle: { color: colour } };
}
