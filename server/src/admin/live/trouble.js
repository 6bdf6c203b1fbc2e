// What needs an operator, in one line each. Thresholds are those of the alert rules, without their waiting times.

// Name of the alert, threshold, value, and words for a value above the threshold.
const ALERTS = [
  ['TowlineReadersStalled', 0.5, (s) => waitShare(s), (v) => `${percent(v)} of the connections' time is spent waiting for clients that do not read`],
  ['TowlineConnectionsNearLimit', 0.9, (s) => s.value('towline_connections_active') / s.value('towline_connections_limit'),
    (v) => (v >= 1 ? 'full: new connections are refused or wait' : `${percent(v)} of the connection limit is used`)],
  ['TowlineDescriptorsNearLimit', 0.95, (s) => s.value('process_open_fds') / s.value('process_max_fds'), (v) => `${percent(v)} of the descriptors are used`],
  ['TowlineConcurrencyExhausted', 0.9, (s) => s.value('towline_concurrency_in_use') / s.value('towline_concurrency_limit'), (v) => `${percent(v)} of the permits are in use`],
  ['TowlineSlowConsumersClosed', 0.1, (s) => s.rate('towline_slow_consumers_total{action="closed"}'),
    (v) => `${short(v)} connections per second are closed because they do not take what is pushed to them`],
  ['TowlinePublishersHeldUp', 0.5, (s) => s.rate('towline_connection_state_seconds_total{state="push_wait"}'),
    (v) => `${short(v)} connections are not read on, because what they sent to others waits`],
  ['TowlineWorkerSaturated', 0.95, (s) => Math.max(0, ...s.rates('towline_worker_busy_seconds_total').map(([, busy]) => busy)), (v) => `a worker is ${percent(v)} busy`],
  ['TowlineThreadsSlow', 0.1, (s) => late(s, 0.025), (v) => `threads are throttled or overloaded: ${percent(v)} of samples are more than 25 ms late`],
  ['TowlineLatencyHigh', 0.05, (s) => quantile(0.99, s.buckets('towline_batch_duration_seconds')), (v) => `p99 in the stack is ${time(v)}`],
  ['TowlineConnectionsRejected', 0, (s) => total(s.rates('towline_connections_rejected_total')), (v) => `${short(v)} connections per second are rejected`],
  ['TowlineAcceptErrors', 0, (s) => total(s.rates('towline_accept_errors_total').filter(([series]) => label(series, 'errno') !== 'ECONNABORTED')),
    (v) => `${short(v)} errors of accept per second`],
  ['TowlineAcceptQueueOverflows', 0, (s) => s.rate('towline_kernel_listen_overflows_total'), () => 'an accept queue overflows in this network namespace'],
  ['TowlineKernelOutOfMemory', 0, (s) => s.rate('towline_kernel_abort_on_memory_total'), () => 'the kernel aborts connections: its TCP memory is used up'],
  ['TowlineWorkerNotServing', 0, (s) => total(s.of('towline_worker_processes').filter(([series]) => label(series, 'state') !== 'serving')),
    (v) => `${short(v)} of the worker processes ${v === 1 ? 'does' : 'do'} not serve`],
];

// Facts without an alert, or below its threshold.
const WARNINGS = [
  [(s) => (waitShare(s) <= 0.5 ? s.value('towline_io_waiting{direction="write"}') / s.value('towline_connections_active') : 0), 0.1,
    (v) => `${percent(v)} of the connections wait for clients that do not read`],
  [(s) => late(s, 0.5), 0, () => 'a thread stood still for more than half a second'],
  [(s) => 1 - s.value('towline_config_last_reload_successful'), 0, () => 'the last reload of the configuration failed'],
  [(s) => s.value('towline_overload_active{step="shrink"}'), 0, () => 'overload: timeouts are shortened'],
  [(s) => s.value('towline_overload_active{step="shed"}'), 0, () => 'overload: lines are answered with an error'],
  [(s) => s.value('towline_overload_active{step="refuse"}'), 0, () => 'overload: new connections wait or are rejected'],
];

// Share of the connections' time in which replies waited to be read.
const waitShare = (s) => s.rate('towline_io_wait_seconds_total{direction="write"}') / total(s.rates('towline_connection_state_seconds_total'));

// Share of samples of the scheduling delay that are later than a bound.
function late(s, seconds) {
  const delays = s.buckets('towline_scheduling_delay_seconds');
  const inTime = delays.find(([bound]) => bound === seconds);
  return inTime ? 1 - inTime[1] / delays.at(-1)[1] : 0;
}

// Shows them, and returns the kind of the worst.
function troubles(s) {
  const alarms = ALERTS.map(([alert, above, value, words]) => [value(s), above, words, `${alert}: see the runbook`, 'alarm']);
  const warnings = WARNINGS.map(([value, above, words]) => [value(s), above, words, '', 'warning']);
  const found = [...alarms, ...warnings].filter(([value, above]) => value > above);
  by('trouble').replaceChildren(...found.map(([value, , words, title, kind]) => {
    const made = element('li', words(value), kind);
    made.title = title;
    return made;
  }));
  return found[0]?.at(-1) ?? '';
}
