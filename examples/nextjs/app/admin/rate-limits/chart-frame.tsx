import type { ReactNode } from 'react';

interface ChartFrameProps {
  id: string;
  title: string;
  /** A sentence that describes the drawing: its text alternative. */
  summary: string;
  legend: readonly { name: string; color: string; dashed?: boolean }[];
  columns: readonly string[];
  rows: readonly (readonly string[])[];
  children: ReactNode;
}

/** A chart with its legend, and with a sentence and a table as its text alternatives. */
export function ChartFrame({ id, title, summary, legend, columns, rows, children }: ChartFrameProps) {
  return (
    <section className={`panel chart ${id}`} aria-labelledby={`${id}-title`}>
      <div className="panel-head">
        <h2 id={`${id}-title`}>{title}</h2>
        <ul className="legend" aria-hidden="true">
          {legend.map(({ name, color, dashed }) => (
            <li key={name}>
              <i style={{ borderTop: `3px ${dashed ? 'dashed' : 'solid'} ${color}` }} />
              {name}
            </li>
          ))}
        </ul>
      </div>
      <div role="img" aria-label={summary} className="chart-area" data-chart={id}>
        {children}
      </div>
      <details>
        <summary>By minute, as a table</summary>
        <div className="scroll" tabIndex={0} role="region" aria-label={`${title}, by minute`}>
          <table>
            <thead>
              <tr>
                {columns.map((column) => (
                  <th key={column} scope="col">
                    {column}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.map(([first, ...rest]) => (
                <tr key={first}>
                  <th scope="row">{first}</th>
                  {rest.map((cell, i) => (
                    <td key={columns[i + 1]}>{cell}</td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </section>
  );
}
