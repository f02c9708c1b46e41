// The charts of a run: throughput at each concurrency, CPU a check, latency alone.

import { join } from 'node:path';
import { onCluster, underLoad } from '../contenders/index.mjs';
import {
  MUTED_COLOUR,
  OWN_COLOUR,
  SECOND_COLOUR,
  PEER_COLOUR,
  bars,
  categoryAxis,
  heading,
  thousands,
  valueAxis,
  write,
} from './chart.mjs';
import { count, significant } from './number-format.mjs';
import { summaryOf, select } from './statistics.mjs';

const WIDTH = 960;
const LABELS = 210;
const BAR = 26;

export function drawBench(directory, measurements) {
  const { concurrencies, draw } = chartsOf(directory, select(measurements, { kind: 'throughput' }), underLoad);
  if (concurrencies.length > 0) draw('throughput.svg', throughput(concurrencies));
  if (concurrencies.includes(200)) draw('cpu.svg', cpu);
  if (concurrencies.includes(1)) draw('latency.svg', latency);
  const onClusterCharts = chartsOf(directory, select(measurements, { kind: 'cluster' }), onCluster);
  if (onClusterCharts.concurrencies.includes(200)) onClusterCharts.draw('cluster-cpu.svg', cpu);
}

function chartsOf(directory, all, list) {
  const concurrencies = [...new Set(all.map(({ inFlight }) => inFlight))];
  // The chart draws from bottom to top; reversed, its order is that of the tables.
  const contenders = list.filter(({ id }) => select(all, { contender: id }).length > 0).reverse();
  const medians = (inFlight, name) =>
    contenders.map(({ id }) => summaryOf(all, { inFlight, contender: id }, name)?.median ?? 0);
  const draw = (name, chart) => write(join(directory, name), chart(contenders, medians));
  return { concurrencies, draw };
}

/** One panel for each concurrency, each with its own scale: throughput at 200 in flight is twenty times that at one. */
const throughput = (concurrencies) => (contenders, medians) => {
  const rows = Math.ceil(concurrencies.length / 2);
  const panel = { width: 300, height: contenders.length * BAR };
  const position = (i) => ({
    left: LABELS - 20 + (i % 2) * (panel.width + 90),
    top: 100 + Math.floor(i / 2) * (panel.height + 90),
  });
  return {
    width: WIDTH,
    height: 70 + rows * (panel.height + 90),
    title: [
      heading('Checks a second', 'all admitted; the further right, the better; each panel has its own scale'),
      ...concurrencies.map((inFlight, i) => ({
        text: `${inFlight.toLocaleString('en')} in flight`,
        left: position(i).left,
        top: position(i).top - 28,
        textStyle: { fontSize: 13, fontWeight: 600 },
      })),
    ],
    grid: concurrencies.map((_, i) => ({ ...position(i), ...panel })),
    xAxis: concurrencies.map((_, i) =>
      valueAxis('checks/s', {
        gridIndex: i,
        nameGap: 26,
        splitNumber: 3,
        axisLabel: { color: MUTED_COLOUR, formatter: thousands },
      }),
    ),
    yAxis: concurrencies.map((_, i) => names(contenders, { gridIndex: i, show: i % 2 === 0 })),
    series: concurrencies.map((inFlight, i) => ({
      ...bars(
        medians(inFlight, 'perSecond').map((value, j) => ({ value, itemStyle: { color: colourOf(contenders[j]) } })),
        count,
      ),
      xAxisIndex: i,
      yAxisIndex: i,
    })),
  };
};

function cpu(contenders, medians) {
  return groupedBars(contenders, {
    title: heading('CPU a check, 200 in flight', 'the shorter, the better'),
    unit: 'microseconds of processor',
    series: [
      { name: 'the process', colour: OWN_COLOUR, values: medians(200, 'cpuMicros') },
      { name: 'Redis', colour: SECOND_COLOUR, values: medians(200, 'redisMicros') },
    ],
  });
}

function latency(contenders, medians) {
  return groupedBars(contenders, {
    title: heading('Latency, one check in flight', 'the shorter, the better'),
    unit: 'milliseconds',
    series: [
      { name: 'p50', colour: OWN_COLOUR, values: medians(1, 'p50') },
      { name: 'p99', colour: SECOND_COLOUR, values: medians(1, 'p99') },
    ],
  });
}

/** Two bars for each contender. */
function groupedBars(contenders, { title, unit, series }) {
  const height = contenders.length * BAR * 1.7;
  return {
    width: WIDTH,
    height: height + 140,
    title,
    legend: { top: 16, right: 24, itemGap: 24, data: series.map(({ name }) => name) },
    grid: { left: LABELS, right: 80, top: 80, height },
    xAxis: valueAxis(unit, { nameGap: 28 }),
    yAxis: names(contenders),
    series: series.map(({ name, colour, values }) => ({
      ...bars(values, significant),
      name,
      itemStyle: { color: colour },
    })),
  };
}

function names(contenders, more) {
  return categoryAxis(
    contenders.map(({ label }) => label),
    more,
  );
}

function colourOf({ id }) {
  return id === 'huntaze' ? OWN_COLOUR : PEER_COLOUR;
}
