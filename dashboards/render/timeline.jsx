// States in time: one bar for each series, in the colours of its values.

import React from 'react';

export function Timeline({ panel, width, height, range, theme }) {
  const words = panel.fieldConfig.defaults.mappings[0].options;
  const left = 130;
  const share = (width - left - 8) / (range.to - range.from);
  const bar = Math.min(28, (height - 24) / panel.frames.length);
  return (
    <div style={{ position: 'relative', width, height, font: '12px sans-serif', color: theme.colors.text.secondary }}>
      {panel.frames.map((frame, at) => {
        const [times, values] = frame.fields.map((field) => field.values);
        const step = (times[1] - times[0]) / 1000;
        return (
          <div key={at} style={{ position: 'absolute', top: at * bar, height: bar }}>
            <span style={{ lineHeight: `${bar}px` }}>{frame.fields[1].config.displayNameFromDS}</span>
            {values.map((value, index) => {
              const word = words[value];
              const place = { position: 'absolute', top: 2, height: bar - 4, width: step * share + 0.5 };
              return word && (
                <div key={index} style={{ ...place, left: left + (times[index] / 1000 - range.from) * share, background: theme.visualization.getColorByName(word.color) }} />
              );
            })}
          </div>
        );
      })}
      <div style={{ position: 'absolute', bottom: 0 }}>
        {Object.values(words).map(({ text, color }) => (
          <span key={text} style={{ marginRight: 14 }}>
            <span style={{ display: 'inline-block', width: 14, height: 4, marginRight: 5, background: theme.visualization.getColorByName(color) }} />
            {text}
          </span>
        ))}
      </div>
    </div>
  );
}
