//! Metric families, before they are written in Prometheus' text format.

use towline_middleware::stats::{Bounds, HistogramSnapshot};

/// Names and values of labels, escaped as Prometheus' text format asks. Both are closed sets: no input of a
/// client adds one.
pub(super) type Labels = Vec<(&'static str, String)>;

/// One metric with all its series. The series are the same at every scrape, except for
/// [`Values::Info`].
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) values: Values,
}

/// The series of a family, by type.
pub(super) enum Values {
    /// Counters of whole numbers.
    Counter(Vec<(Labels, u64)>),
    /// Gauges.
    Gauge(Vec<(Labels, f64)>),
    /// One series that is always 1. The information is in its labels, which may change.
    Info(Labels),
    /// Counters of nanoseconds, exported in seconds.
    Seconds(Vec<(Labels, u128)>),
    /// Histograms of durations, with the bounds of their buckets.
    Histogram(&'static Bounds, Vec<(Labels, HistogramSnapshot)>),
}

/// A counter without labels.
pub(super) fn counter(value: u64) -> Values {
    Values::Counter(vec![(Labels::new(), value)])
}

/// A gauge without labels.
pub(super) fn gauge(value: f64) -> Values {
    Values::Gauge(vec![(Labels::new(), value)])
}

/// A counter of seconds without labels.
pub(super) fn seconds(nanos: impl Into<u128>) -> Values {
    Values::Seconds(vec![(Labels::new(), nanos.into())])
}

/// A histogram without labels.
pub(super) fn histogram(bounds: &'static Bounds, durations: &HistogramSnapshot) -> Values {
    Values::Histogram(bounds, vec![(Labels::new(), durations.clone())])
}

/// A series for each value of the label `name`.
pub(super) fn by<T: Copy, N>(
    name: &'static str,
    values: &[T],
    label: impl Fn(T) -> &'static str,
    value: impl Fn(T) -> N,
) -> Vec<(Labels, N)> {
    values.iter().map(|&at| (vec![(name, label(at).to_owned())], value(at))).collect()
}
