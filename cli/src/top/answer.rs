//! What servers answer.

use std::collections::HashMap;

use serde::Deserialize;

/// The answer of `GET /connections`. What a server does not know, or a newer one names otherwise, is absent.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Listing {
    pub(super) server: Server,
    pub(super) uptime_seconds: f64,
    pub(super) open: u64,
    pub(super) matched: u64,
    pub(super) partial: bool,
    pub(super) connections: Vec<Connection>,
    pub(super) closed: Vec<Closed>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Server {
    pub(super) version: String,
    pub(super) listen: String,
}

/// An open connection.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Connection {
    pub(super) id: String,
    pub(super) peer: String,
    pub(super) state: String,
    pub(super) state_seconds: f64,
    pub(super) age_seconds: f64,
    pub(super) idle_seconds: Option<f64>,
    pub(super) lines: u64,
    pub(super) read_bytes: Option<u64>,
    pub(super) written_bytes: Option<u64>,
    pub(super) write_wait_seconds: f64,
    pub(super) write_wait_cause: Option<String>,
    pub(super) unsent_bytes: u64,
    pub(super) rtt_seconds: Option<f64>,
    pub(super) retransmits: Option<u64>,
}

/// A connection that has ended.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Closed {
    pub(super) id: String,
    pub(super) peer: String,
    pub(super) reason: String,
    pub(super) closed_seconds_ago: f64,
    pub(super) age_seconds: f64,
    pub(super) lines: u64,
    pub(super) read_bytes: Option<u64>,
    pub(super) written_bytes: Option<u64>,
    pub(super) write_wait_seconds: f64,
    pub(super) retransmits: Option<u64>,
}

/// The figures of `GET /metrics` that are shown above the table.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Figures {
    /// The server's clock.
    pub(super) seconds: f64,
    pub(super) limit: f64,
    pub(super) lines: f64,
    pub(super) read_bytes: f64,
    pub(super) written_bytes: f64,
    pub(super) write_waiting: f64,
    pub(super) draining: bool,
}

impl Figures {
    pub(super) fn parse(exposition: &str) -> Self {
        let samples = exposition.lines().filter(|line| !line.starts_with('#'));
        let samples: HashMap<&str, f64> = samples
            .filter_map(|line| line.rsplit_once(' '))
            .filter_map(|(series, value)| Some((series, value.parse().ok()?)))
            .collect();
        let get = |series: &str| samples.get(series).copied().unwrap_or(0.0);
        Self {
            seconds: get("towline_snapshot_seconds"),
            limit: get("towline_connections_limit"),
            lines: get("towline_lines_received_total"),
            read_bytes: get("towline_read_bytes_total"),
            written_bytes: get("towline_written_bytes_total"),
            write_waiting: get("towline_io_waiting{direction=\"write\"}"),
            draining: get("towline_draining") > 0.0,
        }
    }
}

/// Replaces control characters: what a server says is not written to a terminal as it is.
pub(super) fn shown(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{b7}' } else { c };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_the_exposition_and_the_rest_is_zero() {
        let figures = Figures::parse(
            "# HELP towline_draining x\ntowline_draining 1\ntowline_lines_received_total 70\n\
             towline_io_waiting{direction=\"read\"} 5\ntowline_io_waiting{direction=\"write\"} 2\nnonsense\n",
        );
        let expected =
            Figures { draining: true, lines: 70.0, write_waiting: 2.0, ..Figures::default() };
        assert_eq!(figures, expected);
    }

    #[test]
    fn a_listing_without_what_is_not_known_is_read() {
        let text = r#"{"open":1,"connections":[{"id":"0-1","rtt_seconds":null,"new":[1]}]}"#;
        let listing: Listing = serde_json::from_str(text).expect("all fields have defaults");
        assert_eq!((listing.open, listing.connections[0].id.as_str()), (1, "0-1"));
        assert_eq!(shown("a\u{1b}[31m\nb"), "a·[31m·b");
    }
}
