use std::{collections::BTreeMap, fmt};

/// One scrape: the value of every series, and the kind of every metric.
#[derive(Clone, PartialEq)]
pub struct Metrics {
    series: BTreeMap<String, f64>,
    kinds: BTreeMap<String, String>,
}

impl Metrics {
    /// Reads the text format strictly: a line that it does not know fails the test.
    #[track_caller]
    pub fn parse(exposition: &str) -> Self {
        let (mut series, mut kinds) = (BTreeMap::new(), BTreeMap::new());
        for line in exposition.lines().filter(|line| !line.is_empty()) {
            if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert_eq!(kinds.insert(name.to_owned(), kind.to_owned()), None, "{name} twice");
            } else if !line.starts_with("# HELP ") {
                let (name, value) = line.rsplit_once(' ').unwrap();
                let value = value.parse().unwrap();
                assert_eq!(series.insert(name.to_owned(), value), None, "{name} twice");
            }
        }
        Self { series, kinds }
    }

    /// The value of a series, by its name with its labels as exported.
    #[track_caller]
    pub fn get(&self, series: &str) -> f64 {
        *self.series.get(series).unwrap_or_else(|| panic!("there is no {series}: {self:#?}"))
    }

    /// Closed connections by reason.
    #[track_caller]
    pub fn closed(&self, reason: &str) -> f64 {
        self.get(&format!("towline_connections_closed_total{{reason=\"{reason}\"}}"))
    }

    /// The sum over all labels.
    pub fn sum(&self, metric: &str) -> f64 {
        let labelled = format!("{metric}{{");
        self.series
            .iter()
            .filter(|(name, _)| *name == metric || name.starts_with(&labelled))
            .map(|(_, value)| value)
            .sum()
    }

    /// A quantile of a histogram without labels over the time between two scrapes, as `histogram_quantile` of
    /// Prometheus interpolates it. NaN without samples.
    pub fn quantile_since(&self, before: &Self, at: f64, histogram: &str) -> f64 {
        let prefix = format!("{histogram}_bucket{{le=\"");
        let of = |series: &str| {
            let bound = series.strip_prefix(&prefix)?.strip_suffix("\"}")?;
            Some((bound.parse::<f64>().unwrap(), self.get(series) - before.get(series)))
        };
        let mut buckets: Vec<_> = self.series.keys().filter_map(|series| of(series)).collect();
        buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let rank = at * buckets.last().unwrap().1;
        let mut below = (0.0, 0.0);
        for (bound, samples) in buckets {
            if samples >= rank {
                let share = (rank - below.1) / (samples - below.1);
                return if bound.is_finite() {
                    below.0 + (bound - below.0) * share
                } else {
                    below.0
                };
            }
            below = (bound, samples);
        }
        f64::NAN
    }

    /// The names of all series, with their labels.
    pub fn names(&self) -> Vec<&str> {
        self.series.keys().map(String::as_str).collect()
    }

    /// Every series that must never decrease.
    pub fn counters(&self) -> impl Iterator<Item = (&str, f64)> {
        self.series.iter().filter_map(|(name, value)| {
            let metric = name.split('{').next()?;
            let base =
                ["_bucket", "_sum", "_count"].iter().find_map(|end| metric.strip_suffix(end));
            let counter = self.kinds.get(metric).is_some_and(|kind| kind == "counter")
                || base.is_some_and(|base| self.kinds.get(base).is_some_and(|k| k == "histogram"));
            counter.then_some((name.as_str(), *value))
        })
    }

    /// Every series of the server's own that may decrease, except those of time and host, and of
    /// descriptors, which the tests of a process share.
    pub fn gauges(&self) -> BTreeMap<&str, f64> {
        let counters: Vec<_> = self.counters().map(|(name, _)| name).collect();
        self.series
            .iter()
            .map(|(name, value)| (name.as_str(), *value))
            .filter(|(name, _)| name.starts_with("towline_") && !counters.contains(name))
            .filter(|(name, _)| *name != "towline_snapshot_seconds")
            // Of all programs on the host.
            .filter(|(name, _)| *name != "towline_kernel_tcp_memory_bytes")
            .filter(|(name, _)| !name.contains("resource=\"descriptors\""))
            .collect()
    }

    /// Fails unless accepted − Σ closed = Σ connections, as at every scrape.
    #[track_caller]
    pub fn assert_connections_add_up(&self) {
        let accepted = self.get("towline_connections_accepted_total");
        let closed = self.sum("towline_connections_closed_total");
        let open = self.sum("towline_connections");
        assert_eq!(accepted - closed, open, "{self:#?}");
        assert_eq!(open, self.get("towline_connections_active"), "{self:#?}");
    }
}

/// Only what is not zero: the rest is long and says nothing.
impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.series.iter().filter(|(_, value)| **value != 0.0)).finish()
    }
}
