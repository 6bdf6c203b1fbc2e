//! A client of a stage.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{sync::oneshot, time::sleep};
use tokio_util::bytes::Bytes;
use towline_middleware::stats::CloseReason;

use super::{pipe::Pipe, tcp::Closes};

/// A client, made by [`Stage::connect`](super::Stage::connect).
///
/// What it sends arrives, and what the server says is kept until the test asks for it. An expectation that is
/// not met is a panic, with everything that was said on this connection before, and when. Each waits for 20
/// seconds without anything new, and then is not met: on a paused clock that takes no time.
///
/// Dropping a client closes the connection; what the server says afterwards is lost.
pub struct Client {
    pub(super) pipe: Pipe,
    pub(super) end_of_line: &'static [u8],
    /// Bytes that arrive together.
    piece_max: usize,
    pub(super) ending: Ending,
}

/// How the client learns why its connection ended.
pub(super) enum Ending {
    Reported(oneshot::Receiver<CloseReason>),
    Counted(Arc<Closes>),
    Known(CloseReason),
}

/// What it sends, and the faults of its network.
impl Client {
    pub(super) const fn new(pipe: Pipe, end_of_line: &'static [u8], ending: Ending) -> Self {
        Self { pipe, end_of_line, piece_max: usize::MAX, ending }
    }

    /// Sends `line` and the protocol's end of line: `\n`, or `\r\n`. It arrives in one piece, unless
    /// [`chop`](Self::chop) says otherwise, and apart from what was sent before.
    ///
    /// Never waits: what the server does not read stays in the client, as [`unsent`](Self::unsent) says. After
    /// [`half_close`](Self::half_close) and [`reset`](Self::reset) nothing is sent any more.
    ///
    /// # Panics
    /// If the protocol has no lines; see [`send_raw`](Self::send_raw).
    #[track_caller]
    pub fn send(&mut self, line: impl AsRef<[u8]>) {
        self.send_raw([line.as_ref(), self.line_end()].concat());
    }

    /// Sends `bytes` as they are.
    pub fn send_raw(&mut self, bytes: impl AsRef<[u8]>) {
        let mut state = self.pipe.state();
        let mut bytes = Bytes::copy_from_slice(bytes.as_ref());
        while !bytes.is_empty() {
            let piece = bytes.split_to(self.piece_max.min(bytes.len()));
            state.send(piece);
        }
    }

    /// Sends `bytes` one by one, with `pause` behind each.
    pub async fn trickle(&mut self, bytes: impl AsRef<[u8]>, pause: Duration) {
        for byte in bytes.as_ref() {
            self.send_raw([*byte]);
            sleep(pause).await;
        }
    }

    /// Sends everything from now on in pieces of `bytes` bytes, between which the server runs. 0 is taken as 1.
    /// Default: [`usize::MAX`], whole.
    pub fn chop(&mut self, bytes: usize) {
        self.piece_max = bytes.max(1);
    }

    /// Bytes that the server has not read: those that it will not read while it waits for this client to take
    /// its replies. Over TCP without those in the kernel's buffers.
    pub fn unsent(&self) -> usize {
        self.pipe.state().unsent_bytes()
    }

    /// Takes no more of what the server says, which meets back-pressure, until [`resume`](Self::resume). What
    /// was said before can still be expected.
    pub fn stall(&mut self) {
        self.pipe.state().take(Some(0));
    }

    /// Takes everything again, as a new client does.
    pub fn resume(&mut self) {
        self.pipe.state().take(None);
    }

    /// Closes the sending side. The server may go on speaking.
    pub fn half_close(&mut self) {
        self.pipe.state().half_close();
    }

    /// Resets the connection: what is on its way in either direction is lost, and the server reads an error.
    pub fn reset(&mut self) {
        self.pipe.state().reset();
    }
}

impl Client {
    /// The end of a line of the protocol.
    #[track_caller]
    fn line_end(&self) -> &'static [u8] {
        assert!(
            !self.end_of_line.is_empty(),
            "the protocol has no lines: use send_raw and expect_raw"
        );
        self.end_of_line
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.pipe.state().leave();
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.pipe.state().record)
    }
}
