// Draws a dashboard with Grafana's components and data of a Prometheus, without a Grafana server. This
// file replaces variables, and draws heat maps and tables, whose components need a server.

import 'uplot/dist/uPlot.min.css';
import React, { useEffect, useRef } from 'react';
import { createRoot } from 'react-dom/client';
import {
  FieldType,
  ThemeContext,
  applyFieldOverrides,
  createTheme,
  dateTime,
  toDataFrame,
} from '@grafana/data';
import {
  BigValue,
  BigValueColorMode,
  BigValueGraphMode,
  GlobalStyles,
  PanelChrome,
  TimeSeries,
} from '@grafana/ui';

const asked = new URLSearchParams(location.search);
const theme = createTheme({ colors: { mode: asked.get('mode') ?? 'dark' } });
const [COLUMN, ROW, GAP] = [62, 36, 8];

async function prometheus(path, parameters) {
  const answer = await fetch(`${asked.get('prometheus')}/api/v1/${path}?${new URLSearchParams(parameters)}`);
  const { status, data, error } = await answer.json();
  if (status !== 'success') throw new Error(`${parameters.query}: ${error}`);
  return data.result;
}

const filledIn = (expression) =>
  expression.replaceAll('$__rate_interval', asked.get('window')).replace(/\$\w+/g, '.+');

const named = (legend, labels) => legend.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => labels[label] ?? '');

// Merges the defaults and the overrides of a series, as Grafana does.
function configured(panel, name) {
  const { defaults, overrides } = panel.fieldConfig;
  const config = { ...defaults, custom: { ...defaults.custom }, displayNameFromDS: name };
  for (const { matcher, properties } of overrides) {
    if (matcher.options !== name) continue;
    for (const { id, value } of properties) {
      if (id.startsWith('custom.')) config.custom[id.slice(7)] = value;
      else config[id] = value;
    }
  }
  return config;
}

const overridden = (data) =>
  applyFieldOverrides({
    data,
    fieldConfig: { defaults: {}, overrides: [] },
    replaceVariables: (text) => text,
    theme,
    timeZone: 'utc',
  });

function frame(panel, legend, { metric, values }, at, times) {
  const name = named(legend, metric) || 'value';
  const found = new Map(values.map(([time, value]) => [time * 1000, parseFloat(value)]));
  return toDataFrame({
    name,
    fields: [
      { name: 'Time', type: FieldType.time, values: times, config: {} },
      {
        name: 'Value',
        type: FieldType.number,
        labels: metric,
        values: times.map((time) => found.get(time) ?? null),
        config: configured(panel, name),
        state: { seriesIndex: at },
      },
    ],
  });
}

function table(panel, result) {
  const { renameByName, indexByName } = panel.transformations[0].options;
  const columns = Object.keys(indexByName).sort((a, b) => indexByName[a] - indexByName[b]);
  const cell = ({ metric, value }, label) => (label === 'Value' ? value[1] : metric[label]);
  return {
    headings: columns.map((label) => renameByName[label]),
    rows: result.map((series) => columns.map((label) => cell(series, label))),
  };
}

function Rows({ headings, rows }) {
  const cell = { padding: '6px 10px', textAlign: 'left', borderBottom: `1px solid ${theme.colors.border.weak}` };
  return (
    <table style={{ width: '100%' }}>
      <thead>
        <tr>{headings.map((heading) => <th key={heading} style={{ ...cell, color: theme.colors.text.secondary }}>{heading}</th>)}</tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={row.join()}>{row.map((value, at) => <td key={headings[at]} style={cell}>{value}</td>)}</tr>
        ))}
      </tbody>
    </table>
  );
}

async function load(panel, range) {
  if (panel.type === 'row') return;
  if (panel.type === 'table') {
    const result = await prometheus('query', { query: filledIn(panel.targets[0].expr), time: range.to });
    panel.table = table(panel, result);
    return;
  }
  const times = [];
  for (let at = range.from; at <= range.to; at += range.step) times.push(at * 1000);
  const frames = [];
  for (const { expr, legendFormat } of panel.targets) {
    const result = await prometheus('query_range', {
      query: filledIn(expr),
      start: range.from,
      end: range.to,
      step: range.step,
    });
    if (panel.type === 'heatmap') panel.buckets = result;
    for (const series of result) frames.push(frame(panel, legendFormat, series, frames.length, times));
  }
  panel.frames = overridden(frames);
}

function Heatmap({ panel, width, height, range }) {
  const canvas = useRef(null);
  const bound = ({ metric }) => (metric.le === '+Inf' ? Infinity : parseFloat(metric.le));
  const buckets = [...panel.buckets].sort((a, b) => bound(a) - bound(b));
  useEffect(() => {
    const context = canvas.current.getContext('2d');
    const values = buckets.map(({ values }) => new Map(values.map(([time, value]) => [time, parseFloat(value)])));
    const count = (at, time) => (values[at].get(time) ?? 0) - (at ? values[at - 1].get(time) ?? 0 : 0);
    const columns = (range.to - range.from) / range.step;
    // Leaves out the empty buckets above and below, except for one on each side.
    const used = buckets.map((_, at) => [...values[at].keys()].some((time) => count(at, time) > 0));
    const [low, high] = [Math.max(0, used.indexOf(true) - 1), Math.min(used.length - 1, used.lastIndexOf(true) + 1)];
    const most = Math.max(...buckets.flatMap((_, at) => [...values[at].keys()].map((time) => count(at, time))), 1);
    const [left, bottom] = [64, 22];
    const [w, h] = [(width - left - 8) / columns, (height - bottom - 6) / (high - low + 1)];
    context.font = '12px sans-serif';
    for (let at = low; at <= high; at += 1) {
      const y = height - bottom - (at - low + 1) * h;
      context.fillStyle = theme.colors.text.secondary;
      context.textAlign = 'right';
      if (h > 13 || (at - low) % 2 === 0) {
        const le = bound(buckets[at]);
        const text = le === Infinity ? '∞' : le >= 1 ? `${le} s` : le >= 0.001 ? `${le * 1e3} ms` : `${Math.round(le * 1e6)} µs`;
        context.fillText(text, left - 6, y + h / 2 + 4);
      }
      for (let column = 0; column < columns; column += 1) {
        const share = count(at, range.from + column * range.step) / most;
        if (share > 0) {
          context.fillStyle = `hsl(28 90% ${theme.isDark ? 15 + 55 * Math.sqrt(share) : 92 - 50 * Math.sqrt(share)}%)`;
          context.fillRect(left + column * w, y, Math.max(w - 1, 1), h - 1);
        }
      }
    }
    context.fillStyle = theme.colors.text.secondary;
    context.textAlign = 'center';
    for (let part = 0; part <= 4; part += 1) {
      const time = range.from + ((range.to - range.from) * part) / 4;
      const text = new Date(time * 1000).toISOString().slice(11, 19);
      context.fillText(text, Math.min(Math.max(left + ((width - left - 8) * part) / 4, left + 24), width - 32), height - 6);
    }
  });
  return <canvas ref={canvas} width={width} height={height} />;
}

function Inside({ panel, width, height, range }) {
  if (panel.type === 'table') return <Rows {...panel.table} />;
  if (panel.type === 'heatmap') return <Heatmap panel={panel} width={width} height={height} range={range} />;
  if (!panel.frames.length) {
    const style = { display: 'grid', placeItems: 'center', width, height, color: theme.colors.text.secondary };
    return <div style={style}>{panel.fieldConfig.defaults.noValue ?? 'No data'}</div>;
  }
  if (panel.type === 'stat') {
    const share = width / panel.frames.length;
    return (
      <div style={{ display: 'flex' }}>
        {panel.frames.map((frame) => {
          const field = frame.fields[1];
          const value = field.display(field.values.at(-1));
          const title = panel.frames.length > 1 ? field.config.displayNameFromDS : undefined;
          const sparkline = { y: field, x: frame.fields[0] };
          return (
            <BigValue
              key={frame.name}
              value={{ ...value, title }}
              width={share}
              height={height}
              theme={theme}
              sparkline={sparkline}
              colorMode={BigValueColorMode.Background}
              graphMode={BigValueGraphMode.Area}
            />
          );
        })}
      </div>
    );
  }
  const span = { from: dateTime(range.from * 1000), to: dateTime(range.to * 1000) };
  return (
    <TimeSeries
      frames={panel.frames}
      width={width}
      height={height}
      timeRange={{ ...span, raw: span }}
      timeZone="utc"
      legend={panel.options.legend}
    />
  );
}

function Placed({ panel, range }) {
  const { x, y, w, h } = panel.gridPos;
  const place = { position: 'absolute', left: x * COLUMN, top: y * ROW };
  if (panel.type === 'row') {
    return <div style={{ ...place, paddingTop: 6, font: '500 16px sans-serif', color: theme.colors.text.primary }}>{panel.title}</div>;
  }
  return (
    <div style={place}>
      <PanelChrome title={panel.title} width={w * COLUMN - GAP} height={h * ROW - GAP}>
        {(width, height) => <Inside panel={panel} width={width} height={height} range={range} />}
      </PanelChrome>
    </div>
  );
}

async function main() {
  const dashboard = await (await fetch(`${asked.get('uid')}.json`)).json();
  const range = { from: Number(asked.get('from')), to: Number(asked.get('to')), step: 1 };
  await Promise.all(dashboard.panels.map((panel) => load(panel, range)));
  document.body.style.background = theme.colors.background.canvas;
  createRoot(document.getElementById('root')).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <h1 style={{ font: '500 22px sans-serif', margin: '4px 0 10px', color: theme.colors.text.primary }}>{dashboard.title}</h1>
      <div style={{ position: 'relative' }}>
        {dashboard.panels.map((panel) => (
          <Placed key={panel.id} panel={panel} range={range} />
        ))}
      </div>
    </ThemeContext.Provider>
  );
}

main().catch((error) => {
  document.body.innerText = `FAILED ${error.stack ?? error}`;
});
