//! The four columns of the article's table: what it ran, and the figures it gives.

use serde::Serialize;
use towline_units::human::grouped;

/// A column of the article's table.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) number: u8,
    pub(super) name: &'static str,
    /// What distinguishes it from a column with as many connections.
    pub(super) variant: &'static str,
    /// The profile that configures a towline server in the same way.
    pub(super) profile: &'static str,
    pub(super) connections: u32,
    /// Connects a second.
    pub(super) connect_rate: f64,
    pub(super) article: Article,
}

/// The article's figures (c5.2xlarge, 8 vCPU, 60 seconds after the ramp, tcpkali).
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Article {
    pub(super) connections: u32,
    pub(super) sent_mib: f64,
    pub(super) received_mib: f64,
    pub(super) per_connection_kbps: f64,
    pub(super) mbps_down: f64,
    pub(super) mbps_up: f64,
    /// Packets a second, estimated as tcpkali does.
    pub(super) packets_down: f64,
    pub(super) packets_up: f64,
    pub(super) io: &'static str,
    pub(super) cpu: &'static str,
}

impl Column {
    /// Connections to make at a fraction of the article's.
    pub(super) fn scaled(&self, scale: f64) -> u32 {
        ((f64::from(self.connections) * scale).round() as u32).max(1)
    }

    /// The name of the column with the connections really made: `10K, buffered` or `200, buffered`.
    pub(super) fn title(&self, scale: f64) -> String {
        let connections = match self.scaled(scale) {
            thousands if thousands % 1000 == 0 => format!("{}K", thousands / 1000),
            other => grouped(other.into()),
        };
        format!("{connections}, {}", self.variant)
    }
}

pub(super) const COLUMNS: [Column; 4] = [
    Column {
        number: 1,
        name: "10K, unbuffered",
        variant: "unbuffered",
        profile: "baseline-10k",
        connections: 10_000,
        connect_rate: 2000.0,
        article: Article {
            connections: 10_000,
            sent_mib: 2.4,
            received_mib: 210.3,
            per_connection_kbps: 0.4,
            mbps_down: 29.40,
            mbps_up: 0.33,
            packets_down: 329e3,
            packets_up: 29.0,
            io: "read 23 %, write 75 %",
            cpu: "low",
        },
    },
    Column {
        number: 2,
        name: "10K, buffered",
        variant: "buffered",
        profile: "buffered-10k",
        connections: 10_000,
        connect_rate: 2000.0,
        article: Article {
            connections: 10_000,
            sent_mib: 1369.1,
            received_mib: 1661.4,
            per_connection_kbps: 5.3,
            mbps_down: 232.28,
            mbps_up: 191.41,
            packets_down: 278e3,
            packets_up: 16e3,
            io: "balanced",
            cpu: "low",
        },
    },
    Column {
        number: 3,
        name: "30K, buffered",
        variant: "buffered",
        profile: "buffered-30k",
        connections: 30_000,
        connect_rate: 5000.0,
        article: Article {
            connections: 30_000,
            sent_mib: 2580.3,
            received_mib: 1250.9,
            per_connection_kbps: 1.2,
            mbps_down: 174.89,
            mbps_up: 360.75,
            packets_down: 135e3,
            packets_up: 32e3,
            io: "efficient",
            cpu: "moderate",
        },
    },
    Column {
        number: 4,
        name: "30K, SHA-256",
        variant: "SHA-256",
        profile: "sha256-30k",
        connections: 30_000,
        connect_rate: 5000.0,
        article: Article {
            connections: 30_000,
            sent_mib: 1068.3,
            received_mib: 799.3,
            per_connection_kbps: 0.7,
            mbps_down: 111.74,
            mbps_up: 149.35,
            packets_down: 136e3,
            packets_up: 13e3,
            io: "waits for CPU",
            cpu: "high",
        },
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_name_the_connections_really_made() {
        for column in &COLUMNS {
            assert_eq!(column.title(1.0), column.name);
        }
        let titles = [0.02, 0.1, 0.1234].map(|scale| COLUMNS[1].title(scale));
        assert_eq!(titles, ["200, buffered", "1K, buffered", "1,234, buffered"]);
    }
}
