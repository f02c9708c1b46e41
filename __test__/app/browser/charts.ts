// Reads values back from a drawn chart: from its paths and axes, not from the data that it was given.

import type { Page } from 'playwright-core';

/** A point of a line: its distance from the left edge, in ms, and its value. */
export interface Point {
  readonly after: number;
  readonly value: number;
}

/** The time span that a chart shows of a young process, in ms; with an older process it would be longer. */
export const SHOWN_MS = 120_000;

interface Drawing {
  readonly left: number;
  readonly width: number;
  /** The grid lines, with their labels. */
  readonly grid: (readonly [text: string, y: number])[];
  readonly curves: string[];
}

/** The points of a chart's curves, in drawing order: areas by their upper edge, then lines. */
export async function curvesOf(page: Page, chart: 'traffic' | 'latency'): Promise<Point[][]> {
  // One evaluation reads everything, because the next second redraws the chart. The position of a value comes from its
  // grid line, because a label at the edge is moved inside.
  const { left, width, grid, curves } = (await page.evaluate(`(() => {
    const chart = document.querySelector('[data-chart=${chart}]');
    const number = (of, name) => Number(of.getAttribute(name));
    const texts = [...chart.querySelectorAll('.recharts-yAxis-tick-labels text')].map(({ textContent }) => textContent);
    const lines = [...chart.querySelectorAll('.recharts-cartesian-grid-horizontal line')];
    const curves = [...chart.querySelectorAll('.recharts-area-curve, .recharts-line-curve')];
    return {
      left: number(lines[0], 'x'),
      width: number(lines[0], 'width'),
      grid: lines.map((line, i) => [texts[i], number(line, 'y1')]),
      curves: curves.map((curve) => curve.getAttribute('d') ?? ''),
    };
  })()`)) as Drawing;
  const [[lowText, low], [highText, high]] = [grid[0]!, grid.at(-1)!];
  const value = (y: number) => Number(lowText) + ((y - low) / (high - low)) * (Number(highText) - Number(lowText));
  return curves.map((d) =>
    [...d.matchAll(/[ML]([\d.]+),([\d.]+)/g)].map(([, x, y]) => ({
      after: ((Number(x) - left) / width) * SHOWN_MS,
      value: value(Number(y)),
    })),
  );
}

/** The number of requests that a line of rates stands for: the sum over its seconds, each with its drawn width. */
export function areaOf(points: readonly Point[]): number {
  return points.slice(1).reduce((sum, { after, value }, i) => sum + (value * (after - points[i]!.after)) / 1000, 0);
}
