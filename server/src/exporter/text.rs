//! Writes the metric types that the façade cannot hold, in Prometheus' text format.

use std::fmt::{self, Write};

use towline_middleware::stats::{Bounds, HistogramSnapshot};

use super::family::{Family, Values};

/// The highest value of each counter of seconds so far, in the order of writing.
pub(super) type Monotone = Vec<u128>;

/// Appends the families of those types to a page.
pub(super) fn write(out: &mut String, families: &[Family], highest: &mut Monotone) {
    let mut at = 0;
    let mut monotone = |nanos: u128| {
        if at == highest.len() {
            highest.push(0);
        }
        let value = highest[at].max(nanos);
        highest[at] = value;
        at += 1;
        value
    };
    for Family { name, help, values } in families {
        // Writing to a string cannot fail.
        let _ = match values {
            Values::Counter(_) | Values::Gauge(_) => Ok(()),
            Values::Info(labels) => {
                head(out, name, help, "gauge");
                writeln!(out, "{name}{} 1", Labels(labels))
            }
            Values::Seconds(series) => {
                head(out, name, help, "counter");
                series.iter().try_for_each(|(labels, nanos)| {
                    let seconds = Seconds(monotone(*nanos));
                    let labels = Labels(labels);
                    writeln!(out, "{name}{labels} {seconds}")
                })
            }
            Values::Histogram(bounds, series) => {
                head(out, name, help, "histogram");
                series.iter().try_for_each(|(labels, durations)| {
                    histogram(out, name, labels, bounds, durations)
                })
            }
        };
    }
}

/// Writes the series of one histogram.
fn histogram(
    out: &mut String,
    name: &str,
    labels: &[(&'static str, String)],
    bounds: &'static Bounds,
    durations: &HistogramSnapshot,
) -> fmt::Result {
    let mut bucket = |le: String, samples: u64| {
        let labels = [labels, &[("le", le)]].concat();
        writeln!(out, "{name}_bucket{} {samples}", Labels(&labels))
    };
    for (bound, samples) in durations.cumulative(bounds) {
        bucket(bound.as_secs_f64().to_string(), samples)?;
    }
    let (count, sum) = (durations.count(), Seconds(u128::from(durations.sum_nanos)));
    bucket("+Inf".to_owned(), count)?;
    let labels = Labels(labels);
    writeln!(out, "{name}_sum{labels} {sum}\n{name}_count{labels} {count}")
}

fn head(out: &mut String, name: &str, help: &str, kind: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// Nanoseconds, written as seconds without rounding.
struct Seconds(u128);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

/// Labels in braces; nothing if there are none. Values are escaped, or need no escaping.
struct Labels<'a>(&'a [(&'static str, String)]);

impl fmt::Display for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in self.0.iter().enumerate() {
            write!(f, "{}{name}=\"{value}\"", if i == 0 { "{" } else { "," })?;
        }
        f.write_str(if self.0.is_empty() { "" } else { "}" })
    }
}
