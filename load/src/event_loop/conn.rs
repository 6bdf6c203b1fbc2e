//! The state of one connection. A loop may have a hundred thousand: the state is small and has no buffers.

use std::os::fd::OwnedFd;

use super::in_flight::InFlight;
use crate::message::Position;
use crate::plan::ClientBehavior;

/// A connection, in at most 96 bytes. State that few connections need is boxed in `anomalies`.
#[derive(Debug)]
pub(crate) struct Conn {
    /// The socket; `None` before the connect and after the end.
    pub(crate) fd: Option<OwnedFd>,
    pub(crate) state: State,
    pub(crate) behavior: ClientBehavior,
    /// What the loop waits for: what epoll watches the socket for, if the transport needs nothing more.
    pub(crate) interest: Interest,
    /// Bytes of a `pong` line still to be sent.
    pub(crate) pong_left: u8,
    /// The connection's number in the whole run.
    pub(crate) id: u32,
    /// Lines to send now, after `sent.line`.
    pub(crate) pending: u32,
    /// The position behind the last byte given to the kernel.
    pub(crate) sent: Position,
    /// The position behind the last reply byte. `received.line` counts replies, and lines whose reply
    /// is no longer waited for.
    pub(crate) received: Position,
    /// When the lines in flight were sent.
    pub(crate) in_flight: InFlight,
    /// When the connect began; once connected, when a line was last sent.
    pub(crate) since: u64,
    pub(crate) anomalies: Option<Box<Anomalies>>,
}

/// The answer to a heartbeat.
pub(super) const PONG: &[u8] = b"pong\n";

/// The lifecycle of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not yet connected.
    Waiting,
    /// The handshake of TCP, or that of TLS behind it, is under way.
    Connecting,
    /// Connected; the opening of a fan-out is not confirmed yet.
    Opening,
    Open,
    /// Closed by either side. A bad client connects again.
    Closed,
}

/// What epoll watches a socket for. Errors and hang-ups are always watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Nothing,
    Read,
    Write,
    Both,
}

impl Interest {
    /// The same, and writability.
    pub(crate) fn and_write(self) -> Self {
        match self {
            Self::Nothing | Self::Write => Self::Write,
            Self::Read | Self::Both => Self::Both,
        }
    }
}

/// State of a connection on which something other than the expected replies came.
#[derive(Debug, Default)]
pub(crate) struct Anomalies {
    /// The beginning of an unexpected line whose end has not arrived.
    pub(crate) partial: Vec<u8>,
    /// Numbers of the lines whose reply is missing although a later line has its reply.
    pub(crate) gaps: Vec<u64>,
    /// The line whose reply was counted as corrupted, until the next reply shows whether the
    /// unexpected line was an extra one.
    pub(crate) corrupted_at: Option<u64>,
    /// Replies that timed out. If they arrive later they are late, not surplus.
    pub(crate) given_up: u64,
    /// Pauses in sending that were long enough for a heartbeat of the server that looks like a reply.
    pub(crate) heartbeat_credit: u32,
    /// `pong` lines sent. A server echoes those that it did not wait for.
    pub(crate) pongs: u32,
    /// The server sent an error line after which it closes; it answers nothing more.
    pub(crate) refused: bool,
}

impl Conn {
    pub(crate) fn new(id: u32, behavior: ClientBehavior) -> Self {
        Self {
            fd: None,
            state: State::Waiting,
            behavior,
            interest: Interest::Nothing,
            pong_left: 0,
            id,
            pending: 0,
            sent: Position::default(),
            received: Position::default(),
            in_flight: InFlight::default(),
            since: 0,
            anomalies: None,
        }
    }

    /// Lines sent whose reply is still waited for.
    pub(crate) fn outstanding(&self) -> u64 {
        self.sent.line.saturating_sub(self.received.line)
    }

    /// Stops waiting for replies; returns how many were waited for.
    pub(crate) fn abandon(&mut self) -> u64 {
        let lines = self.outstanding();
        self.sent.line -= lines;
        lines
    }

    /// Whether the connection follows the mode and is measured.
    pub(crate) fn is_well_behaved(&self) -> bool {
        self.behavior == ClientBehavior::WellBehaved
    }

    /// Whether the server sent an error line after which it closes.
    pub(crate) fn is_refused(&self) -> bool {
        self.anomalies.as_ref().is_some_and(|t| t.refused)
    }

    pub(crate) fn anomalies(&mut self) -> &mut Anomalies {
        self.anomalies.get_or_insert_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_fits_its_budget() {
        // The budget for an idle connection is 512 bytes of process memory in all.
        assert!(size_of::<Conn>() <= 96, "{} bytes", size_of::<Conn>());
    }
}
