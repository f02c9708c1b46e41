// Charts as SVG files, drawn without a browser. They have their own light background: a page may be dark.

import { writeFileSync } from 'node:fs';
import * as echarts from 'echarts';

export const TEXT_COLOUR = '#24292f';
export const MUTED_COLOUR = '#57606a';
export const GRID_COLOUR = '#d8dee4';
export const OWN_COLOUR = '#0969da';
export const PEER_COLOUR = '#a8b3bf';
export const SECOND_COLOUR = '#bc4c00';

const text = { fontFamily: 'system-ui, sans-serif', fontSize: 12, color: TEXT_COLOUR };

export function write(file, { width, height, ...option }) {
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width, height });
  chart.setOption({ backgroundColor: '#ffffff', textStyle: text, animation: false, ...option });
  writeFileSync(file, `${chart.renderToSVGString()}\n`);
  chart.dispose();
}

export function heading(main, subtext) {
  return {
    text: main,
    subtext,
    left: 16,
    top: 12,
    itemGap: 6,
    textStyle: { ...text, fontSize: 16, fontWeight: 600 },
    subtextStyle: { ...text, color: MUTED_COLOUR },
  };
}

/** An axis of figures, with its name in the middle. */
export function valueAxis(name, more) {
  return {
    type: 'value',
    name,
    nameLocation: 'middle',
    nameTextStyle: { ...text, color: MUTED_COLOUR },
    axisLabel: { color: MUTED_COLOUR },
    splitLine: { lineStyle: { color: GRID_COLOUR } },
    ...more,
  };
}

/** 20k for 20,000. */
export function thousands(value) {
  return value >= 1000 ? `${value / 1000}k` : `${value}`;
}

/** Bars with their figures at the end. */
export function bars(data, text, position = 'right') {
  const label = { show: true, position, color: MUTED_COLOUR, fontSize: 11, formatter: ({ value }) => text(value) };
  return { type: 'bar', data, label, barCategoryGap: '30%', barGap: '5%' };
}

export function categoryAxis(data, more) {
  return {
    type: 'category',
    data,
    axisTick: { show: false },
    axisLine: { lineStyle: { color: GRID_COLOUR } },
    axisLabel: { ...text },
    ...more,
  };
}
