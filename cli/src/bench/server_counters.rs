//! What a server says about itself on `/metrics`, as far as the benchmarks use it.

use std::net::SocketAddr;
use std::time::Duration;

use crate::http::{Endpoint, Request, SentRequest};

/// Longest wait for the connection, and again for the whole answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Metrics of a server, summed over their labels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct ServerCounters {
    /// Lines processed, whatever became of them.
    pub(super) lines: f64,
    /// Seconds connections waited to read, and to write.
    pub(super) read_wait: f64,
    pub(super) write_wait: f64,
    /// Seconds connections were open, in any state.
    pub(super) connected: f64,
    /// Connections waiting in the kernel to be accepted.
    pub(super) accept_queue: f64,
    /// Open connections, and the most there may be.
    pub(super) active: f64,
    pub(super) limit: f64,
    pub(super) heartbeats_sent: f64,
    pub(super) heartbeats_missed: f64,
    /// Accepts that failed because the process, or the host, was out of descriptors.
    pub(super) emfile: f64,
    pub(super) enfile: f64,
}

impl ServerCounters {
    /// Scrapes a server; `None` when it does not answer.
    pub(super) fn scrape(admin: SocketAddr) -> Option<Self> {
        let sent = Request::get("/metrics").send(&Endpoint::Port(admin), TIMEOUT);
        let body = sent.and_then(SentRequest::body).ok()?;
        Some(Self::parse(&body))
    }

    fn parse(exposition: &str) -> Self {
        let mut all = Self::default();
        for (metric, labels, value) in samples(exposition) {
            let sum = match metric {
                "towline_lines_processed_total" => &mut all.lines,
                "towline_io_wait_seconds_total" if labels.contains("\"read\"") => {
                    &mut all.read_wait
                }
                "towline_io_wait_seconds_total" => &mut all.write_wait,
                "towline_connection_state_seconds_total" => &mut all.connected,
                "towline_accept_queue_length" => &mut all.accept_queue,
                "towline_connections_active" => &mut all.active,
                "towline_connections_limit" => &mut all.limit,
                "towline_heartbeats_sent_total" => &mut all.heartbeats_sent,
                "towline_heartbeats_missed_total" => &mut all.heartbeats_missed,
                "towline_accept_errors_total" if labels.contains("EMFILE") => &mut all.emfile,
                "towline_accept_errors_total" if labels.contains("ENFILE") => &mut all.enfile,
                _ => continue,
            };
            *sum += value;
        }
        all
    }
}

/// Every sample of an exposition: the metric's name, its labels as written, and the value.
fn samples(exposition: &str) -> impl Iterator<Item = (&str, &str, f64)> {
    exposition.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (metric, labels) = series.split_once('{').unwrap_or((series, ""));
        Some((metric, labels, value.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_taken_over_labels() {
        let counters = ServerCounters::parse(
            "# HELP towline_lines_processed_total x\n\
             towline_lines_processed_total{result=\"ok\"} 40\n\
             towline_lines_processed_total{result=\"timeout\"} 2\n\
             towline_io_wait_seconds_total{direction=\"read\"} 1.5\n\
             towline_io_wait_seconds_total{direction=\"write\"} 2.5\n\
             towline_connection_state_seconds_total{state=\"idle\"} 3\n\
             towline_connection_state_seconds_total{state=\"ready\"} 4\n\
             towline_accept_queue_length 5\n\
             towline_connections_active 7\n\
             towline_connections_limit 9\n\
             towline_heartbeats_sent_total 3\n\
             towline_heartbeats_missed_total 1\n\
             towline_accept_errors_total{errno=\"EMFILE\"} 2\n\
             towline_accept_errors_total{errno=\"ENFILE\"} 6\n",
        );
        let expected = ServerCounters {
            lines: 42.0,
            read_wait: 1.5,
            write_wait: 2.5,
            connected: 7.0,
            accept_queue: 5.0,
            active: 7.0,
            limit: 9.0,
            heartbeats_sent: 3.0,
            heartbeats_missed: 1.0,
            emfile: 2.0,
            enfile: 6.0,
        };
        assert_eq!(counters, expected);
    }
}
