// A heat map of a histogram: one row for each bucket, darker where it counted more.

import React, { useEffect, useRef } from 'react';

export function Heatmap({ panel, width, height, range, theme }) {
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
      if ((at - low) % Math.ceil(16 / h) === 0) {
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
