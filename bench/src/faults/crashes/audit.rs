//! Scrapes a server repeatedly and compares each scrape with the one before it.

use std::{collections::BTreeMap, net::SocketAddr, ops::ControlFlow, time::Duration};

use crate::{
    metrics::{self, samples},
    periodic::Periodic,
};

/// Interval between two scrapes.
const INTERVAL: Duration = Duration::from_millis(150);

/// What the scrapes showed.
#[derive(Debug, Default)]
pub(super) struct AuditReport {
    pub(super) scrapes: u64,
    /// Scrapes that were not answered.
    pub(super) failed: u64,
    /// Scrapes at which accepted minus closed connections was not the number of open ones.
    pub(super) unbalanced: u64,
    /// Counters and parts of histograms that decreased.
    pub(super) decreased: Vec<String>,
    /// Number of series that appeared or disappeared, over all scrapes.
    pub(super) changed: usize,
    last: BTreeMap<String, f64>,
}

/// Starts to scrape `admin`.
pub(super) fn start(admin: SocketAddr) -> Periodic<AuditReport> {
    Periodic::start(INTERVAL, AuditReport::default(), move |report| {
        match metrics::fetch(admin, "/metrics") {
            Ok(answer) => report.add(&answer),
            Err(_refused) => report.failed += 1,
        }
        ControlFlow::Continue(())
    })
}

impl AuditReport {
    /// Number of series in the last scrape.
    pub(super) fn series(&self) -> usize {
        self.last.len()
    }

    fn add(&mut self, answer: &str) {
        self.scrapes += 1;
        let mut now = BTreeMap::new();
        let (mut accepted, mut closed, mut open, mut active) = (0.0, 0.0, 0.0, 0.0);
        for sample in samples(answer) {
            let sums = [
                ("towline_connections_accepted_total", &mut accepted),
                ("towline_connections_closed_total", &mut closed),
                ("towline_connections", &mut open),
                ("towline_connections_active", &mut active),
            ];
            for (family, sum) in sums {
                if sample.is_of(family) {
                    *sum += sample.value;
                }
            }
            let before = self.last.get(sample.series);
            if sample.kind != "gauge" && before.is_some_and(|before| sample.value < *before) {
                self.decreased.push(sample.series.to_owned());
            }
            now.insert(sample.series.to_owned(), sample.value);
        }
        // All are whole numbers, so they compare exactly.
        if accepted - closed != open || open != active {
            self.unbalanced += 1;
        }
        if self.scrapes > 1 {
            let gone = self.last.keys().filter(|series| !now.contains_key(*series)).count();
            let new = now.keys().filter(|series| !self.last.contains_key(*series)).count();
            self.changed += gone + new;
        }
        self.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(accepted: u32, closed: u32, open: u32, more: &str) -> String {
        format!(
            "# TYPE towline_connections_accepted_total counter\n\
             towline_connections_accepted_total {accepted}\n\
             # TYPE towline_connections_closed_total counter\n\
             towline_connections_closed_total{{reason=\"drain\"}} {closed}\n\
             # TYPE towline_connections gauge\ntowline_connections{{state=\"idle\"}} {open}\n\
             # TYPE towline_connections_active gauge\ntowline_connections_active {open}\n{more}"
        )
    }

    #[test]
    fn unbalanced_sums_decreasing_counters_and_new_series_are_found() {
        let mut report = AuditReport::default();
        for (accepted, closed, open) in [(3, 1, 2), (5, 5, 0)] {
            report.add(&answer(accepted, closed, open, ""));
        }
        assert_eq!((report.unbalanced, report.changed, report.decreased.len()), (0, 0, 0));
        report.add(&answer(5, 4, 0, ""));
        assert_eq!((report.unbalanced, report.decreased.len()), (1, 1));
        report.add(&answer(5, 5, 0, "another 1\n"));
        assert_eq!((report.unbalanced, report.changed, report.series()), (1, 1, 5));
    }
}
