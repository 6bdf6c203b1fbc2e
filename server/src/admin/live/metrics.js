// The exposition of /metrics, and rates between two of them by the server's clock.

// Values by series, as in the exposition: `name{label="value"}`.
function parse(text) {
  const found = new Map();
  for (const line of text.split('\n')) {
    const at = line.lastIndexOf(' ');
    if (at > 0 && line[0] !== '#') found.set(line.slice(0, at), Number(line.slice(at + 1)));
  }
  return found;
}

const label = (series, name) => (series?.match(new RegExp(`[{,]${name}="([^"]*)"`)) ?? [])[1];
const all = (samples, name) => [...samples].filter(([series]) => series === name || series.startsWith(`${name}{`));
const total = (pairs) => pairs.reduce((sum, [, at]) => sum + at, 0);

// Seconds over which rates are computed, at least.
const WINDOW = 3;
const CLOCK = 'towline_snapshot_seconds';
const earlier = [];

// Reads of one snapshot, and of the time between it and one that is about WINDOW seconds older.
// Nothing if the server has sent the snapshot before.
function snapshot(samples) {
  const value = (series) => samples.get(series) ?? NaN;
  // A server that started again counts from zero, and has another monotonic clock if its host did.
  const start = (of) => of.get('process_start_time_seconds');
  if (earlier.length && start(earlier.at(-1)) !== start(samples)) earlier.length = 0;
  const now = value(CLOCK);
  if (earlier.length && now <= earlier.at(-1).get(CLOCK)) return null;
  const before = earlier[0];
  const seconds = before ? now - before.get(CLOCK) : NaN;
  // A worker process that started again may make a counter smaller.
  const rate = (series) => Math.max(value(series) - (before?.get(series) ?? NaN), 0) / seconds;
  const rates = (name) => all(samples, name).map(([series]) => [series, rate(series)]);
  // Those of all series, or of one that has `matcher`: `label="value"`.
  const buckets = (name, matcher = '') => rates(`${name}_bucket`)
    .filter(([series]) => series.includes(matcher))
    .map(([series, at]) => [Number(label(series, 'le').replace('+Inf', 'Infinity')), at]);
  earlier.push(samples);
  while (earlier.length > 1 && now - earlier[1].get(CLOCK) >= WINDOW) earlier.shift();
  return { samples, value, rate, rates, buckets, of: (name) => all(samples, name) };
}

// The same result as Prometheus' histogram_quantile over the time between two scrapes.
function quantile(at, buckets) {
  const count = buckets.length ? buckets.at(-1)[1] : 0;
  if (!count) return NaN;
  let [low, below] = [0, 0];
  for (const [bound, upTo] of buckets) {
    if (upTo >= at * count) return bound === Infinity ? low : low + ((bound - low) * (at * count - below)) / (upTo - below);
    [low, below] = [bound, upTo];
  }
  return low;
}
