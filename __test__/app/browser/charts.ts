// What a chart says, read from its drawing: lines by the axes beside them, not by the data they were drawn from.

import type { Page } from 'playwright-core';

/** A point of a line: how long after the left edge, in ms, and its value. */
export interface Point {
  readonly after: number;
  readonly value: number;
}

/** How much time a chart shows of a process that is younger, in ms; of an older one it would be more. */
export const SHOWN = 120_000;

interface Drawing {
  readonly left: number;
  readonly width: number;
  /** The lines of the grid, with what stands beside each. */
  readonly grid: (readonly [text: string, y: number])[];
  readonly curves: string[];
}

/** The points of the curves of a chart, in the order they are drawn in: areas by their upper edge, then lines. */
export async function curvesOf(page: Page, chart: 'traffic' | 'latency'): Promise<Point[][]> {
  // In one go: the next second redraws all of it. By the grid, since a label at the edge is moved to be inside.
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
      after: ((Number(x) - left) / width) * SHOWN,
      value: value(Number(y)),
    })),
  );
}

/** How many requests a line of rates stands for: each of its seconds as long as it is drawn. */
export function areaOf(points: readonly Point[]): number {
  return points.slice(1).reduce((sum, { after, value }, i) => sum + (value * (after - points[i]!.after)) / 1000, 0);
}
