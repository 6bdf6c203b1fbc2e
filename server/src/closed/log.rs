//! The record of a connection in the log.

use std::time::Duration;

use towline_middleware::stats::CloseReason;
use tracing::Level;

use super::{ClosedConnection, EndedSocket};

/// The target of all records, by which a program can filter them.
const TARGET: &str = "towline::connection";

/// Whether anything would receive a record.
pub(super) fn is_enabled() -> bool {
    tracing::enabled!(target: TARGET, Level::INFO)
}

/// Says how many records were left out.
pub(super) fn write_left_out(count: u64) {
    tracing::warn!(target: TARGET, count, "connection records left out: too many connections ended");
}

/// A connection that has ended, with its socket.
pub(super) struct Ended<'a, S> {
    pub(super) closed: &'a ClosedConnection,
    pub(super) socket: &'a S,
}

impl<S: EndedSocket> Ended<'_, S> {
    /// Writes the record. What is not known is left out.
    pub(super) fn write(&self) {
        let ClosedConnection { id, end, socket } = self.closed;
        let row = end.row.as_ref();
        let age = row.map(|row| end.at.0.saturating_sub(row.opened.0)).map(Duration::from_nanos);
        tracing::info!(
            target: TARGET,
            id = id.map(tracing::field::display),
            peer = self.peer(),
            listener = self.socket.listener(),
            reason = end.reason.label(),
            detail = self.detail(),
            age_seconds = age.map(|age| seconds(age, MILLIS)),
            lines = row.map(|row| row.lines),
            read_bytes = socket.map(|socket| socket.read_bytes),
            written_bytes = socket.map(|socket| socket.written_bytes),
            write_wait_seconds = row.map(|row| seconds(row.write_wait, MILLIS)),
            buffered_bytes_max = row.map(|row| row.buffered_bytes_max),
            unsent_bytes = socket.map(|socket| socket.unsent_bytes),
            rtt_seconds = socket.map(|socket| seconds(socket.rtt, MICROS)),
            retransmits = socket.map(|socket| socket.retransmits),
            "connection closed"
        );
    }

    /// Names the connection whose service panicked, where no record does. The panic has been reported, without a
    /// name, by the hook of the process.
    pub(super) fn write_panic(&self) {
        let (id, peer) = (self.closed.id.map(tracing::field::display), self.peer());
        tracing::warn!(target: TARGET, id, peer, "connection closed: its service panicked");
    }

    /// What was wrong, where the reason alone does not say it.
    fn detail(&self) -> Option<String> {
        let of_reason = match self.closed.end.reason {
            CloseReason::UnexpectedTls => Some("the client speaks TLS, this listener does not"),
            _ => None,
        };
        self.socket.detail().or_else(|| of_reason.map(str::to_owned))
    }

    fn peer(&self) -> String {
        match &self.closed.end.row {
            Some(row) => row.peer.to_string(),
            None => self.socket.peer().map_or_else(|| "gone".to_owned(), |peer| peer.to_string()),
        }
    }
}

const MILLIS: f64 = 1e3;
const MICROS: f64 = 1e6;

/// Seconds, rounded to parts of a second.
fn seconds(time: Duration, parts: f64) -> f64 {
    (time.as_secs_f64() * parts).round() / parts
}
