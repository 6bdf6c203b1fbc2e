// A table: the results of several queries as columns, with units, colours and words as the panel says.

import React from 'react';
import { getValueFormat, formattedValueToString } from '@grafana/data';

const override = (panel, heading, id) =>
  panel.fieldConfig.overrides
    .filter(({ matcher }) => matcher.options === heading)
    .flatMap(({ properties }) => properties)
    .find((property) => property.id === id)?.value;

// One row for each value of the first column, as the transformation `merge` makes them.
export function merged(panel, results) {
  const organize = panel.transformations.find(({ id }) => id === 'organize').options;
  const labels = Object.keys(organize.indexByName).sort((a, b) => organize.indexByName[a] - organize.indexByName[b]);
  const rows = new Map();
  results.forEach((result, at) => {
    const name = results.length > 1 ? `Value #${String.fromCharCode(65 + at)}` : 'Value';
    result.forEach(({ metric, value }, number) => {
      const key = results.length > 1 ? metric[labels[0]] : number;
      rows.set(key, { ...rows.get(key), ...metric, [name]: parseFloat(value[1]) });
    });
  });
  const headings = labels.map((label) => organize.renameByName[label]);
  const by = labels[headings.indexOf(panel.options.sortBy?.[0]?.displayName)];
  const sorted = [...rows.values()];
  if (by) sorted.sort((a, b) => (b[by] ?? -1) - (a[by] ?? -1));
  return { headings, rows: sorted.map((row) => labels.map((label) => row[label])) };
}

function shown(panel, heading, value, theme) {
  if (value === undefined || Number.isNaN(value)) return ['', undefined];
  const words = override(panel, heading, 'mappings')?.[0].options[value];
  if (words) return [words.text, theme.visualization.getColorByName(words.color)];
  if (typeof value !== 'number') return [value, undefined];
  const text = formattedValueToString(getValueFormat(override(panel, heading, 'unit') ?? 'none')(value));
  const step = override(panel, heading, 'thresholds')?.steps.findLast((at) => at.value === null || value >= at.value);
  const plain = !step || step.color === 'text';
  return [text, plain ? undefined : theme.visualization.getColorByName(step.color)];
}

export function Rows({ panel, theme, height }) {
  const { headings, rows } = panel.table;
  const cell = { padding: '5px 8px', textAlign: 'left', whiteSpace: 'nowrap', borderBottom: `1px solid ${theme.colors.border.weak}` };
  return (
    <div style={{ height, overflow: 'hidden' }}>
      <table style={{ width: '100%', fontSize: 13 }}>
        <thead>
          <tr>{headings.map((heading) => <th key={heading} style={{ ...cell, color: theme.colors.text.secondary }}>{heading}</th>)}</tr>
        </thead>
        <tbody>
          {rows.map((row, number) => (
            <tr key={number}>
              {row.map((value, at) => {
                const [text, color] = shown(panel, headings[at], value, theme);
                return <td key={headings[at]} style={{ ...cell, color }}>{text}</td>;
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
