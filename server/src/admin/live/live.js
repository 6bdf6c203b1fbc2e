// Draws /metrics once a second, and the table of connections.

// Values of the label `state`, with a colour and words for each.
const STATES = {
  idle: ['gray', 'idle'], read_wait: ['yellow', 'line unfinished'], handshake: ['purple', 'handshake'],
  ready: ['teal', 'running'], service: ['blue', 'being served'], limit_wait: ['orange', 'waiting for a permit or for its rate'],
  push_wait: ['pink', 'waiting to publish'],
  write_wait: ['red', 'client does not read'], closing: ['green', 'closing'],
};
// More workers than these are shown by the busiest, the median and the least busy one.
const WORKERS = 12;
// The time of the last response.
let answered;

function states({ samples }) {
  // In the order of STATES; the exposition has no fixed order.
  const found = Object.entries(STATES).map(([state, [color, words]]) => {
    const series = `towline_connections{state="${state}"}`;
    return { series, color, words, value: samples.get(series) ?? 0 };
  }).filter(({ value }) => value);
  const open = found.reduce((sum, { value }) => sum + value, 0);
  by('states').replaceChildren(...found.map(({ color, words, value }) => {
    const part = element('i');
    part.style.width = `${(value / open) * 100}%`;
    part.style.background = `var(--${color})`;
    part.title = `${words} ${value}`;
    return part;
  }));
  by('states-legend').replaceChildren(...found.map(({ series, color, words, value }) => {
    const item = element('li', [mark(color), `${words} ${short(value)}`]);
    item.title = series;
    return item;
  }));
  if (!found.length) by('states-legend').append(element('li', 'no connection is open', 'none'));
}

function workers({ of, rate }) {
  const found = of('towline_worker_connections').map(([series, held]) => {
    const worker = label(series, 'worker');
    return { worker, held, busy: rate(`towline_worker_busy_seconds_total{worker="${worker}"}`) };
  });
  const row = ({ worker, held, busy }, name = '') => [`${name}${worker}`, meter(busy), `${percent(busy)} busy, ${short(held)} connections`];
  if (found.length <= WORKERS) {
    rows('workers', found.sort((a, b) => a.worker - b.worker).map((one) => row(one)));
    return;
  }
  found.sort((a, b) => b.busy - a.busy);
  const held = found.map((one) => one.held).sort((a, b) => a - b);
  rows('workers', [
    row(found[0], 'busiest: '), row(found[found.length >> 1], 'median: '), row(found.at(-1), 'least: '),
    [`${found.length} workers`, '', `${short(held[0])} to ${short(held.at(-1))} connections each`],
  ]);
}

// The order of results on the page; the exposition has no fixed order.
const rank = (series) => ['ok', 'timeout', 'shed', 'error'].indexOf(label(series, 'result'));

function draw(s) {
  const { value, rate, rates, of } = s;
  const draining = value('towline_draining') === 1;
  by('state').textContent = draining ? 'draining' : 'serving';
  const [build] = of('towline_build_info').map(([series]) => series);
  const [config] = of('towline_config_info').map(([series]) => series);
  // Programs with sessions have neither a workload nor a framing.
  const workload = of('towline_pushes_total').length ? [] : [label(config, 'workload'), `${label(config, 'framing')} framing`];
  by('about').textContent = [label(build, 'version'), ...workload,
    `flush ${label(config, 'flush')}`, `up ${age(Date.now() / 1000 - value('process_start_time_seconds'))}`].join(' · ');

  const open = value('towline_connections_active');
  const lines = rates('towline_lines_processed_total');
  const waiting = (direction) => value(`towline_io_waiting{direction="${direction}"}`);
  const buckets = s.buckets('towline_batch_duration_seconds');
  figure('open', open, short(open), short);
  figure('lines', total(lines), short(total(lines)), short);
  for (const id of ['read', 'written']) {
    const bytes = rate(`towline_${id}_bytes_total`);
    figure(id, bytes, Number.isFinite(bytes) ? `${size(bytes)}/s` : '–', size);
  }
  figure('p99', quantile(0.99, buckets), time(quantile(0.99, buckets)), time);
  figure('wait', waiting('write'), `${short(waiting('write'))} of ${short(open)}`, short);
  states(s);
  workers(s);
  commands(s);
  pushes(s);
  const kind = troubles(s);
  by('state').className = draining ? 'draining' : kind;

  const spent = total(rates('towline_connection_state_seconds_total'));
  rows('io', [['read', 'client sends nothing'], ['write', 'client does not read its replies']].map(([direction, why]) => {
    const waited = rate(`towline_io_wait_seconds_total{direction="${direction}"}`);
    return [`${direction}: ${why}`, short(waiting(direction)), percent(waited / spent)];
  }));
  rows('limits', [
    ['connections', open, value('towline_connections_limit')],
    ['permits', value('towline_concurrency_in_use'), value('towline_concurrency_limit')],
    ['descriptors', value('process_open_fds'), value('process_max_fds')],
  ].map(([name, used, limit]) => [name, meter(used / limit), `${short(used)} of ${short(limit)}`]));
  const delays = s.buckets('towline_scheduling_delay_seconds');
  rows('results', [
    ...lines.filter(([series]) => value(series)).sort(([a], [b]) => rank(a) - rank(b))
      .map(([series, at]) => [label(series, 'result'), `${short(value(series))} in total`, `${short(at)}/s`]),
    ['lines per batch', '', short(rate('towline_lines_received_total') / rate('towline_batches_total'))],
    ['stack p50 / p99.9', '', `${time(quantile(0.5, buckets))} / ${time(quantile(0.999, buckets))}`],
    ['scheduling delay', '', `p99 ${time(quantile(0.99, delays))}`],
  ]);
  const steps = of('towline_overload_active').filter(([, at]) => at).map(([series]) => label(series, 'step'));
  rows('overload', [
    ...of('towline_overload_pressure_ratio').sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([series, at]) => [label(series, 'resource'), meter(at), percent(at)]),
    ['steps in force', '', steps.length ? steps.join(', ') : 'none'],
  ]);
  rows('closes', of('towline_connections_closed_total')
    .filter(([, at]) => at)
    .sort(([, a], [, b]) => b - a)
    .map(([series, at]) => [label(series, 'reason'), `${short(at)} in total`, `${short(rate(series))}/s`]));
  rows('host', [
    ['CPU', cores(rate('process_cpu_seconds_total'))],
    ['resident memory', size(value('process_resident_memory_bytes'))],
    ['buffers of connections', size(total(of('towline_buffer_bytes')))],
    ['waiting to be accepted', short(value('towline_accept_queue_length'))],
    // Rates, because the kernel's counters cover the whole network namespace.
    ['accept queue overflows', `${short(rate('towline_kernel_listen_overflows_total'))}/s`],
    ['segments sent again', `${short(rate('towline_kernel_retransmits_total'))}/s`],
    ['accept errors', short(total(of('towline_accept_errors_total')))],
  ]);
}

async function tick() {
  try {
    const answer = await fetch('metrics', { cache: 'no-store', signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(answer.status);
    const next = snapshot(parse(await answer.text()));
    if (next) draw(next);
    answered = new Date();
    for (const id of ['main', '#trouble']) document.querySelector(id).className = '';
  } catch {
    by('state').textContent = answered ? `no answer since ${answered.toLocaleTimeString('en-GB')}` : 'no answer';
    by('state').className = 'off';
    // The figures are those of the last response.
    for (const id of ['main', '#trouble']) document.querySelector(id).className = 'stale';
  }
  // Waits after the response, so that requests never overlap, and longer while the page is hidden.
  setTimeout(tick, document.hidden ? 5000 : 1000);
}
by('sort').addEventListener('change', lists);
tick();
lists();
