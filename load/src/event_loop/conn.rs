//! One connection as the lane keeps it. There may be a hundred thousand, so: small, and no buffers.

use std::os::fd::OwnedFd;

use super::in_flight::Flight;
use crate::message::Position;
use crate::plan::ClientBehavior;

/// A connection. About a hundred bytes; whatever is rare lives behind `trouble`.
#[derive(Debug)]
pub(crate) struct Conn {
    /// The socket; `None` before the connect and after the end.
    pub(crate) fd: Option<OwnedFd>,
    pub(crate) state: State,
    pub(crate) behavior: ClientBehavior,
    /// What epoll watches this socket for.
    pub(crate) interest: Interest,
    /// Bytes of an answer to a heartbeat still to be sent.
    pub(crate) pong_left: u8,
    /// The connection's number in the whole run.
    pub(crate) id: u32,
    /// Whole lines the mode allows to be sent beyond `sent.line`.
    pub(crate) owed: u32,
    /// Where the bytes handed to the kernel end.
    pub(crate) sent: Position,
    /// Where the replies accounted for end. `received.line` counts replies, and lines given up on.
    pub(crate) received: Position,
    /// When the lines in flight were sent.
    pub(crate) flight: Flight,
    /// When the connect began; once open, when a line was last sent.
    pub(crate) since: u64,
    pub(crate) trouble: Option<Box<Trouble>>,
}

/// A connection's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not begun; or, for roles that come back, between two lives.
    Waiting,
    /// The kernel is shaking hands.
    Connecting,
    Open,
    /// Ended by either side.
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

/// What only connections with something amiss need.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    /// The beginning of a line that is not what was expected; its end has not come yet.
    pub(crate) partial: Vec<u8>,
    /// Lines passed over because a later line's reply came first.
    pub(crate) gaps: Vec<u64>,
    /// The line whose reply was taken for corrupted, until the next reply says whether it was extra.
    pub(crate) corrupted_at: Option<u64>,
    /// Replies given up on that may still come: they are late then, not surplus.
    pub(crate) given_up: u64,
    /// Silences long enough for the server to have sent a heartbeat that looks like a reply.
    pub(crate) heartbeat_credit: u32,
    /// `pong` lines sent; the server sends back those it did not wait for.
    pub(crate) pongs: u32,
    /// The server said that it will close, and why; nothing more will be answered.
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
            owed: 0,
            sent: Position::default(),
            received: Position::default(),
            flight: Flight::default(),
            since: 0,
            trouble: None,
        }
    }

    /// Lines sent and not accounted for.
    pub(crate) fn outstanding(&self) -> u64 {
        self.sent.line.saturating_sub(self.received.line)
    }

    /// Whether the well-behaved part of the run rests on this connection.
    pub(crate) fn is_polite(&self) -> bool {
        self.behavior == ClientBehavior::WellBehaved
    }

    /// Whether the server said that it answers nothing more.
    pub(crate) fn is_refused(&self) -> bool {
        self.trouble.as_ref().is_some_and(|t| t.refused)
    }

    pub(crate) fn trouble(&mut self) -> &mut Trouble {
        self.trouble.get_or_insert_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_fits_its_budget() {
        // The whole budget is 512 bytes of process memory an idle connection.
        assert!(size_of::<Conn>() <= 96, "{} bytes", size_of::<Conn>());
    }
}
