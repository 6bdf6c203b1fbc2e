//! Splits what a server sends into frames, by protocol.

use super::{lines, nats, resp};
use crate::error::LoadError;
use crate::plan::{Fanout, FanoutProtocol};

/// The most bytes of a frame: the largest message, and what a protocol puts around it.
pub(crate) const FRAME_BYTES_MAX: usize = 72 * 1024;

/// A frame from a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// A message to a subscriber. If `whole`, these are all of its bytes; else a message begins here.
    Message { bytes: &'a [u8], whole: bool },
    /// The reply to a command of the opening.
    Confirmed,
    /// A heartbeat, to be answered.
    Heartbeat,
    /// An error of the server.
    Error(&'a [u8]),
    /// Any other frame.
    Other,
}

/// Outcome of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scan<'a> {
    /// A frame, and its length.
    Frame(Frame<'a>, usize),
    /// The frame has not ended yet.
    Incomplete,
    /// The bytes are no frame of the protocol, and where the next one begins is unknown.
    Malformed,
}

/// The receiving side of a protocol.
#[derive(Debug)]
pub(crate) enum Wire {
    Lines(Box<lines::LineScanner>),
    Resp,
    Nats,
}

impl Wire {
    /// # Errors
    /// When a template of the plan is wrong.
    pub(crate) fn new(fanout: &Fanout) -> Result<Self, LoadError> {
        super::Commands::new(fanout)?;
        Ok(match fanout.protocol {
            FanoutProtocol::Lines => {
                Self::Lines(Box::new(lines::LineScanner::new(&fanout.confirm)))
            }
            FanoutProtocol::Resp => Self::Resp,
            FanoutProtocol::Nats => Self::Nats,
        })
    }

    /// The first frame of `bytes`.
    #[inline]
    pub(crate) fn scan<'a>(&self, bytes: &'a [u8]) -> Scan<'a> {
        match self {
            Self::Lines(scanner) => scanner.scan(bytes),
            Self::Resp => resp::scan(bytes),
            Self::Nats => nats::scan(bytes),
        }
    }

    /// The answer to a heartbeat.
    pub(crate) fn heartbeat_answer(&self) -> &'static [u8] {
        match self {
            Self::Lines(_) => b"pong\n",
            Self::Resp => b"",
            Self::Nats => b"PONG\r\n",
        }
    }
}
