use std::io;

use tokio_util::codec::LinesCodecError;

use crate::{protocol::FrameError, stats::CloseReason};

/// Why a stream of bytes stopped being lines, or frames of another protocol.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// A line, or frame, is longer than the codec's limit. Those before it were delivered.
    #[error("line longer than {limit_bytes} bytes")]
    TooLong {
        /// The limit, terminator excluded.
        limit_bytes: usize,
    },
    /// What was read is no frame of the protocol, with the reason. The frames before it were delivered.
    #[error("malformed frame: {0}")]
    Malformed(&'static str),
    /// The peer speaks TLS, and the connection is in the clear.
    #[error("the peer speaks TLS")]
    ClientHello,
    /// A line is not UTF-8; an error of [`Utf8LinesCodec`](super::Utf8LinesCodec) only.
    #[error("line is not UTF-8")]
    NotUtf8,
    /// The stream itself failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl LineError {
    /// Converts tokio-util's error, which reports invalid UTF-8 as an I/O error.
    pub(super) fn from_lines_codec(error: LinesCodecError, limit_bytes: usize) -> Self {
        match error {
            LinesCodecError::MaxLineLengthExceeded => Self::TooLong { limit_bytes },
            LinesCodecError::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                Self::NotUtf8
            }
            LinesCodecError::Io(error) => Self::Io(error),
        }
    }
}

impl From<FrameError> for LineError {
    #[cold]
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::TooLong { limit_bytes } => Self::TooLong { limit_bytes },
            FrameError::Malformed(why) => Self::Malformed(why),
        }
    }
}

/// The reason for which a connection ends when its stream fails with this error.
impl From<&LineError> for CloseReason {
    #[cold]
    fn from(error: &LineError) -> Self {
        use io::ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionReset, HostUnreachable, InvalidData,
            NetworkUnreachable, NotConnected, TimedOut, UnexpectedEof, WriteZero,
        };
        match error {
            LineError::TooLong { .. } => Self::LineTooLong,
            LineError::Malformed(_) => Self::Malformed,
            LineError::ClientHello => Self::UnexpectedTls,
            LineError::NotUtf8 => Self::InvalidUtf8,
            LineError::Io(error) => match error.kind() {
                BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof
                | WriteZero => Self::PeerReset,
                // The kernel gave the peer up: it acknowledged nothing for `socket.user_timeout`,
                // or answered no keep-alive, or a router said that there is no route.
                TimedOut | HostUnreachable | NetworkUnreachable => Self::PeerReset,
                // No socket fails so: a layer between it and the frames does.
                InvalidData => Self::TlsError,
                _ => Self::IoError,
            },
        }
    }
}
