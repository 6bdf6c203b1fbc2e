//! What a server says about itself: a few sums from its `/metrics`.

use std::net::SocketAddr;

use crate::bench::scrape;

/// Running sums of a server, or of several together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Accounts {
    pub(super) lines: f64,
    /// Seconds connections waited to read, and to write.
    pub(super) read_wait: f64,
    pub(super) write_wait: f64,
    /// Seconds connections were connected, whatever they did.
    pub(super) connected: f64,
    /// Connections waiting in the kernel to be accepted.
    pub(super) accept_queue: f64,
}

impl Accounts {
    /// Asks a server; `None` when it does not answer.
    pub(super) fn of(admin: SocketAddr) -> Option<Self> {
        scrape::metrics(admin).map(|answer| Self::parse(&answer))
    }

    fn parse(text: &str) -> Self {
        let mut all = Self::default();
        for (metric, labels, value) in scrape::samples(text) {
            match metric {
                "towline_lines_processed_total" => all.lines += value,
                "towline_io_wait_seconds_total" if labels.contains("\"read\"") => {
                    all.read_wait += value;
                }
                "towline_io_wait_seconds_total" => all.write_wait += value,
                "towline_connection_state_seconds_total" => all.connected += value,
                "towline_accept_queue_length" => all.accept_queue += value,
                _ => {}
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_taken_over_labels() {
        let accounts = Accounts::parse(
            "HTTP/1.1 200 OK\r\n\r\n# HELP towline_lines_processed_total x\n\
             towline_lines_processed_total{result=\"ok\"} 40\n\
             towline_lines_processed_total{result=\"timeout\"} 2\n\
             towline_io_wait_seconds_total{direction=\"read\"} 1.5\n\
             towline_io_wait_seconds_total{direction=\"write\"} 2.5\n\
             towline_connection_state_seconds_total{state=\"idle\"} 3\n\
             towline_connection_state_seconds_total{state=\"ready\"} 4\n\
             towline_accept_queue_length 5\n",
        );
        let expected = Accounts {
            lines: 42.0,
            read_wait: 1.5,
            write_wait: 2.5,
            connected: 7.0,
            accept_queue: 5.0,
        };
        assert_eq!(accounts, expected);
    }
}
