// Draws a dashboard with Grafana's components and data of a Prometheus, without a Grafana server. This
// file replaces variables; heatmap.jsx, table.jsx and timeline.jsx draw what Grafana's components need a server for.

import 'uplot/dist/uPlot.min.css';
import React from 'react';
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
import { Heatmap } from './heatmap.jsx';
import { Rows, merged } from './table.jsx';
import { Timeline } from './timeline.jsx';

const asked = new URLSearchParams(location.search);
const theme = createTheme({ colors: { mode: asked.get('mode') ?? 'dark' } });
const [COLUMN, ROW, GAP] = [62, 36, 8];
// Grafana puts panels below each other on a narrow screen.
const narrow = asked.has('narrow');

async function prometheus(path, parameters) {
  const answer = await fetch(`${asked.get('prometheus')}/api/v1/${path}?${new URLSearchParams(parameters)}`);
  const { status, data, error } = await answer.json();
  if (status !== 'success') throw new Error(`${parameters.query}: ${error}`);
  return data.result;
}

const filledIn = (expression) =>
  expression
    .replaceAll('$__rate_interval', asked.get('window'))
    .replaceAll('$__range', `${asked.get('to') - asked.get('from')}s`)
    .replace(/\$\w+/g, '.+');

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

async function load(panel, range) {
  if (panel.type === 'row') return;
  if (panel.type === 'table') {
    const ask = ({ expr }) => prometheus('query', { query: filledIn(expr), time: range.to });
    panel.table = merged(panel, await Promise.all(panel.targets.map(ask)));
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

function Inside({ panel, width, height, range }) {
  if (panel.type === 'table' && panel.table.rows.length) return <Rows panel={panel} theme={theme} height={height} />;
  if (panel.type === 'heatmap') return <Heatmap panel={panel} width={width} height={height} range={range} theme={theme} />;
  if (!panel.frames?.length) {
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
          return (
            <BigValue
              key={frame.name}
              value={{ ...value, title }}
              width={share}
              height={height}
              theme={theme}
              colorMode={BigValueColorMode.Value}
              graphMode={BigValueGraphMode.None}
            />
          );
        })}
      </div>
    );
  }
  if (panel.type === 'state-timeline') return <Timeline panel={panel} width={width} height={height} range={range} theme={theme} />;
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
  const place = narrow ? { marginBottom: GAP } : { position: 'absolute', left: x * COLUMN, top: y * ROW };
  if (panel.type === 'row') {
    const mark = panel.collapsed ? '▸' : '▾';
    return <div style={{ ...place, paddingTop: 6, font: '500 16px sans-serif', color: theme.colors.text.primary }}>{`${mark} ${panel.title}`}</div>;
  }
  return (
    <div style={place}>
      <PanelChrome title={panel.title} width={narrow ? innerWidth - 16 : w * COLUMN - GAP} height={h * ROW - GAP}>
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
