//! Scrapes again and again, and holds every scrape against the one before it.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::mpsc::{self, RecvTimeoutError, SyncSender},
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{Error, metrics};

/// How often.
const EVERY: Duration = Duration::from_millis(150);

/// What scrapes showed.
#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) scrapes: u64,
    /// Scrapes that were not answered.
    pub(super) failed: u64,
    /// Scrapes at which accepted less closed was not what is open.
    pub(super) unbalanced: u64,
    /// Series that went back, though they are counters or parts of a histogram.
    pub(super) went_back: Vec<String>,
    /// Series that came or went, over all scrapes.
    pub(super) changed: usize,
    last: BTreeMap<String, f64>,
}

impl Books {
    pub(super) fn series(&self) -> usize {
        self.last.len()
    }

    /// Looks at one answer.
    fn audit(&mut self, answer: &str) {
        self.scrapes += 1;
        let mut now = BTreeMap::new();
        let (mut accepted, mut closed, mut open, mut active) = (0.0, 0.0, 0.0, 0.0);
        for sample in metrics::samples(answer) {
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
                self.went_back.push(sample.series.to_owned());
            }
            now.insert(sample.series.to_owned(), sample.value);
        }
        // All are whole numbers.
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

/// A thread that audits, until it is asked what it found.
#[derive(Debug)]
pub(super) struct Audit {
    over: SyncSender<()>,
    thread: JoinHandle<Books>,
}

impl Audit {
    pub(super) fn start(admin: SocketAddr) -> Self {
        let (over, is_over) = mpsc::sync_channel(0);
        let thread = thread::spawn(move || {
            let mut books = Books::default();
            loop {
                match metrics::fetch(admin) {
                    Ok(answer) => books.audit(&answer),
                    Err(_refused) => books.failed += 1,
                }
                if is_over.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout) {
                    return books;
                }
            }
        });
        Self { over, thread }
    }

    pub(super) fn finish(self) -> Result<Books, Error> {
        drop(self.over);
        Ok(self.thread.join().map_err(|_panic| "the auditor panicked")?)
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
    fn books_that_do_not_balance_counters_that_go_back_and_new_series_are_found() {
        let mut books = Books::default();
        for (accepted, closed, open) in [(3, 1, 2), (5, 5, 0)] {
            books.audit(&answer(accepted, closed, open, ""));
        }
        assert_eq!((books.unbalanced, books.changed, books.went_back.len()), (0, 0, 0));
        books.audit(&answer(5, 4, 0, ""));
        assert_eq!((books.unbalanced, books.went_back.len()), (1, 1));
        books.audit(&answer(5, 5, 0, "another 1\n"));
        assert_eq!((books.unbalanced, books.changed, books.series()), (1, 1, 5));
    }
}
