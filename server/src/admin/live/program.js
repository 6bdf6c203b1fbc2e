// What only programs of the library export: commands of a router, and pushes.

// Further commands share one row.
const COMMANDS = 10;

function commands(s) {
  const all = s.of('towline_commands_total');
  by('of-commands').hidden = !all.length;
  const rates = new Map(s.rates('towline_commands_total'));
  const sum = (counts) => total(counts.map(([series]) => [series, rates.get(series)]));
  const used = [...Map.groupBy(all, ([series]) => label(series, 'command'))]
    .map(([name, counts]) => ({ name, counts, count: total(counts) }))
    .filter(({ count }) => count)
    .sort((a, b) => b.count - a.count);
  const rest = used.slice(COMMANDS);
  const row = (name, counts, delay) => {
    const failed = sum(counts.filter(([series]) => label(series, 'result') !== 'ok'));
    const words = [delay, failed && `${percent(failed / sum(counts))} fail`, `${short(sum(counts))}/s`];
    return [name, `${short(total(counts))} in total`, words.filter((word) => word).join(', ')];
  };
  const p99 = (name) => {
    const took = quantile(0.99, s.buckets('towline_command_duration_seconds', `command="${name}"`));
    return Number.isFinite(took) && `p99 ${time(took)}`;
  };
  rows('commands', [
    ...used.slice(0, COMMANDS).map(({ name, counts }) => row(name, counts, p99(name))),
    ...(rest.length ? [row(`${rest.length} more`, rest.flatMap(({ counts }) => counts))] : []),
  ]);
}

// Counts by a label, in the order of its values.
function counted(s, metric, name, order) {
  return order.map((at) => [at, `${metric}{${name}="${at}"}`])
    .map(([at, series]) => ({ at, count: s.value(series), words: [`${short(s.value(series))} in total`, `${short(s.rate(series))}/s`] }));
}

function pushes(s) {
  by('of-pushes').hidden = !s.of('towline_pushes_total').length;
  const delays = s.buckets('towline_push_delay_seconds');
  const results = counted(s, 'towline_pushes_total', 'result', ['sent', 'dropped', 'refused']);
  const slow = counted(s, 'towline_slow_consumers_total', 'action', ['closed', 'dropped', 'waited']);
  rows('pushes', [
    ...results.map(({ at, words }) => [at, ...words]),
    ['bytes', '', `${size(s.rate('towline_push_bytes_total'))}/s`],
    ['per write', '', `${short(s.rate('towline_pushes_total{result="sent"}') / s.rate('towline_push_delay_seconds_count'))} messages`],
    ['delay', `p50 ${time(quantile(0.5, delays))}`, `p99 ${time(quantile(0.99, delays))}`],
    ['waiting', size(s.value('towline_push_waiting_bytes')), `for ${short(s.value('towline_push_waiting_connections'))} connections`],
    ['groups', short(s.value('towline_groups')), `${short(s.value('towline_group_members'))} members`],
    ...slow.filter(({ count }) => count).map(({ at, words }) => [`slow: ${at}`, ...words]),
  ]);
}
