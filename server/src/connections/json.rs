//! The answer of `GET /connections`. Names of fields are an interface.

use std::time::Duration;

use serde::Serialize;

use towline_middleware::stats::Nanos;

use super::{ListedConnection, listing::Listing, query::Query};
use crate::{closed::ClosedConnection, counts::WriteWaitCause, shard::PoolState};

/// The whole answer.
#[derive(Debug, Serialize)]
pub(crate) struct ListingJson {
    pub(crate) server: ServerJson,
    pub(crate) uptime_seconds: f64,
    pub(crate) open: usize,
    pub(crate) matched: usize,
    pub(crate) shown: usize,
    pub(crate) partial: bool,
    pub(crate) sort: &'static str,
    pub(crate) connections: Vec<ConnectionJson>,
    pub(crate) closed: Vec<ClosedJson>,
}

/// The server that answers.
#[derive(Debug, Serialize)]
pub(crate) struct ServerJson {
    pub(crate) version: &'static str,
    pub(crate) pid: u32,
    pub(crate) listen: String,
    pub(crate) workers: usize,
}

/// An open connection. What is not known is null.
#[derive(Debug, Serialize)]
pub(crate) struct ConnectionJson {
    id: String,
    worker: String,
    peer: String,
    listener: String,
    state: &'static str,
    state_seconds: f64,
    age_seconds: f64,
    idle_seconds: Option<f64>,
    lines: u64,
    read_bytes: Option<u64>,
    written_bytes: Option<u64>,
    write_wait_seconds: f64,
    write_wait_cause: Option<&'static str>,
    buffered_bytes: u32,
    unsent_bytes: u64,
    buffered_bytes_max: u32,
    rtt_seconds: Option<f64>,
    retransmits: Option<u32>,
}

/// A connection that has ended.
#[derive(Debug, Clone, Serialize, serde::Deserialize)]
pub struct ClosedJson {
    /// What it was called.
    pub id: String,
    /// The label `worker` of its shard.
    pub worker: String,
    /// The peer's address.
    pub peer: String,
    /// Why it ended.
    pub reason: String,
    /// How long ago.
    pub closed_seconds_ago: f64,
    /// How long it was open.
    pub age_seconds: f64,
    /// Lines taken from its peer.
    pub lines: u64,
    /// Bytes received, if the kernel was asked.
    pub read_bytes: Option<u64>,
    /// Bytes that the peer acknowledged, if the kernel was asked.
    pub written_bytes: Option<u64>,
    /// How long it waited for its peer to take replies.
    pub write_wait_seconds: f64,
    /// The most bytes that it buffered.
    pub buffered_bytes_max: u32,
    /// Round-trip time, if the kernel was asked.
    pub rtt_seconds: Option<f64>,
    /// Segments that were sent again, if the kernel was asked.
    pub retransmits: Option<u32>,
}

impl ConnectionJson {
    fn new(connection: &ListedConnection, listen: &str) -> Self {
        let row = &connection.row;
        let socket = connection.socket.as_ref();
        let info = socket.and_then(|socket| socket.info);
        let listener = socket.map_or_else(|| listen.to_owned(), |socket| socket.local.to_string());
        Self {
            id: row.id.to_string(),
            worker: row.id.worker.to_string(),
            peer: row.peer.to_string(),
            listener,
            state: row.state.label(),
            state_seconds: seconds(row.state_for),
            age_seconds: seconds(row.age),
            idle_seconds: connection.idle().map(seconds),
            lines: row.lines,
            read_bytes: info.map(|info| info.received_bytes),
            written_bytes: info.map(|info| info.acknowledged_bytes),
            write_wait_seconds: seconds(row.write_wait),
            write_wait_cause: connection.cause.map(WriteWaitCause::label),
            buffered_bytes: row.buffered_bytes,
            unsent_bytes: connection.unsent_bytes(),
            buffered_bytes_max: row.buffered_bytes_max,
            rtt_seconds: info.map(|info| info.rtt.as_secs_f64()),
            retransmits: info.map(|info| info.retransmits),
        }
    }
}

impl ListingJson {
    pub(crate) fn new(
        server: ServerJson,
        uptime: Duration,
        query: &Query,
        listing: &Listing,
        partial: bool,
        closed: Vec<ClosedJson>,
    ) -> Self {
        let Listing { open, matched, ref connections } = *listing;
        let rows = connections.iter().map(|one| ConnectionJson::new(one, &server.listen));
        Self {
            uptime_seconds: seconds(uptime),
            open,
            matched,
            shown: connections.len(),
            partial,
            sort: query.sort.label(),
            connections: rows.collect(),
            closed,
            server,
        }
    }

    /// The text.
    pub(crate) fn text(&self) -> String {
        // Cannot fail: plain data, with text for keys.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Seconds, to the millisecond: what is older than its own answer is not known better.
pub(crate) fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e3).round() / 1e3
}

impl PoolState {
    /// The last connections of this process that ended, up to `max`, the newest first.
    pub fn closed(&self, max: usize) -> Vec<ClosedJson> {
        let Some(now) = self.stats.first().map(|stats| stats.now()) else { return Vec::new() };
        let last = self.slots.closed().last(max);
        last.iter().filter_map(|closed| ClosedJson::new(closed, now)).collect()
    }
}

impl ClosedJson {
    fn new(closed: &ClosedConnection, now: Nanos) -> Option<Self> {
        let ClosedConnection { id, end, socket } = closed;
        let (id, row) = (id.as_ref()?, end.row.as_ref()?);
        let between =
            |from: Nanos, to: Nanos| seconds(Duration::from_nanos(to.0.saturating_sub(from.0)));
        Some(Self {
            id: id.to_string(),
            worker: id.worker.to_string(),
            peer: row.peer.to_string(),
            reason: end.reason.label().to_owned(),
            closed_seconds_ago: between(end.at, now),
            age_seconds: between(row.opened, end.at),
            lines: row.lines,
            read_bytes: socket.map(|socket| socket.read_bytes),
            written_bytes: socket.map(|socket| socket.written_bytes),
            write_wait_seconds: seconds(row.write_wait),
            buffered_bytes_max: row.buffered_bytes_max,
            rtt_seconds: socket.map(|socket| socket.rtt.as_secs_f64()),
            retransmits: socket.map(|socket| socket.retransmits),
        })
    }
}
