//! What a metric is, before it is written down.

use towline_middleware::stats::HistogramSnapshot;

/// A label's name and value; both closed sets, never a peer's doing.
pub(super) type Labels = Vec<(&'static str, String)>;

/// One metric with all its series, which are the same at every scrape but for [`Values::Info`].
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) values: Values,
}

pub(super) enum Values {
    /// Whole numbers that only grow.
    Counter(Vec<(Labels, u64)>),
    Gauge(Vec<(Labels, f64)>),
    /// One series that is always 1; what it says is in its labels, which may change.
    Info(Labels),
    /// Nanoseconds that only grow, published as seconds.
    Seconds(Vec<(Labels, u128)>),
    Histogram(HistogramSnapshot),
}

/// A counter without labels.
pub(super) fn one(value: u64) -> Values {
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

/// A series for each value of one label.
pub(super) fn by<T: Copy, N>(
    name: &'static str,
    values: &[T],
    label: impl Fn(T) -> &'static str,
    value: impl Fn(T) -> N,
) -> Vec<(Labels, N)> {
    values.iter().map(|&at| (vec![(name, label(at).to_owned())], value(at))).collect()
}
