//! A client of a stage.

use std::{
    fmt,
    future::{Future, poll_fn},
    panic::Location,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};
use tokio_util::bytes::Bytes;
use towline_middleware::stats::CloseReason;

use super::{glob, pipe::Pipe, record::Shown, tcp::Closes};

/// Time without anything new after which what is waited for does not come any more.
const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes of unread text that a message shows.
const SHOWN_BYTES_MAX: usize = 200;

/// A client, made by [`Stage::connect`](super::Stage::connect).
///
/// What it sends arrives, and what the server says is kept until the test asks for it. An expectation that is
/// not met is a panic, with everything that was said on this connection before, and when. Each waits for 20
/// seconds without anything new, and then is not met: on a paused clock that takes no time.
///
/// Dropping a client closes the connection; what the server says afterwards is lost.
pub struct Client {
    pipe: Pipe,
    end_of_line: &'static [u8],
    /// Bytes that arrive together.
    piece_max: usize,
    ending: Ending,
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

    /// What is sent from now on arrives in pieces of `bytes` bytes, and the server has run between two of
    /// them. 0 is as good as 1, and [`usize::MAX`] is the default: whole.
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

    /// Takes everything again. A client is made like this.
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

/// What it expects.
impl Client {
    /// Expects `line` next, with the protocol's end of line, and takes it.
    ///
    /// # Panics
    /// If the server says another line, closes, or says no line for 20 seconds; if the protocol has no lines.
    #[track_caller]
    pub fn expect(&mut self, line: impl AsRef<[u8]>) -> impl Future<Output = ()> + Send {
        let (at, line) = (Location::caller(), line.as_ref().to_vec());
        async move {
            let expected = Expected::Line(&line);
            let said = self.take_line(at, &expected).await;
            if said != line {
                self.fail(at, &expected, &Found::Line(&said));
            }
        }
    }

    /// Expects a line next that is `pattern`, in which each `*` stands for any text, also for none; takes and
    /// returns it without its end.
    ///
    /// # Panics
    /// As [`expect`](Self::expect).
    #[track_caller]
    pub fn expect_like(
        &mut self,
        pattern: impl AsRef<[u8]>,
    ) -> impl Future<Output = String> + Send {
        let (at, pattern) = (Location::caller(), pattern.as_ref().to_vec());
        async move {
            let expected = Expected::Like(&pattern);
            let said = self.take_line(at, &expected).await;
            if !glob::matches(&pattern, &said) {
                self.fail(at, &expected, &Found::Line(&said));
            }
            String::from_utf8_lossy(&said).into_owned()
        }
    }

    /// Expects exactly `bytes` next, and takes them.
    ///
    /// # Panics
    /// If the server says something else, closes, or says nothing more for 20 seconds.
    #[track_caller]
    pub fn expect_raw(&mut self, bytes: impl AsRef<[u8]>) -> impl Future<Output = ()> + Send {
        let (at, bytes) = (Location::caller(), bytes.as_ref().to_vec());
        async move {
            let expected = Expected::Raw(&bytes);
            loop {
                let there = {
                    let mut state = self.pipe.state();
                    let there = state.said.len().min(bytes.len());
                    if state.said[..there] == bytes[..there] {
                        if there == bytes.len() {
                            state.consume(there);
                            return;
                        }
                        Some(there)
                    } else {
                        None
                    }
                };
                let Some(there) = there else { self.fail(at, &expected, &Found::Said) };
                self.wait_for_more(at, &expected, there).await;
            }
        }
    }

    /// Expects the server to say nothing and to leave the connection open for `time`.
    ///
    /// # Panics
    /// If it says something or closes; if it has said something before that was not expected.
    #[track_caller]
    pub fn expect_nothing(&mut self, time: Duration) -> impl Future<Output = ()> + Send {
        let at = Location::caller();
        async move {
            if timeout(time, self.changed(0)).await.is_ok() {
                let found =
                    if self.pipe.state().said.is_empty() { Found::Close } else { Found::Said };
                self.fail(at, &Expected::Nothing, &found);
            }
        }
    }

    /// Expects the end of the connection next, closes the sending side as well, and returns why it ended, as
    /// the metrics have it.
    ///
    /// Over TCP the reason is that of the next close that the server counts: ask for that of each client
    /// before the next one ends.
    ///
    /// # Panics
    /// If the server says something before, or has not closed within 20 seconds.
    #[track_caller]
    pub fn is_closed(&mut self) -> impl Future<Output = CloseReason> + Send {
        let at = Location::caller();
        async move {
            if let Ending::Known(reason) = self.ending {
                return reason;
            }
            while !self.pipe.state().closed {
                let unread = self.pipe.state().said.len();
                if unread > 0 {
                    self.fail(at, &Expected::Close, &Found::Said);
                }
                self.wait_for_more(at, &Expected::Close, unread).await;
            }
            if !self.pipe.state().said.is_empty() {
                self.fail(at, &Expected::Close, &Found::Said);
            }
            self.half_close();
            let reason = match &mut self.ending {
                Ending::Reported(reason) => {
                    timeout(PATIENCE, async { reason.await.unwrap_or(CloseReason::Shutdown) }).await
                }
                Ending::Counted(closes) => timeout(PATIENCE, closes.next()).await,
                Ending::Known(reason) => Ok(*reason),
            };
            let Ok(reason) = reason else { self.fail(at, &Expected::Close, &Found::Silence) };
            self.pipe.state().record.event(&format!("ended: {}", reason.label()));
            self.ending = Ending::Known(reason);
            reason
        }
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

    /// Takes the next line off, without its end.
    async fn take_line(&mut self, at: &Location<'_>, expected: &Expected<'_>) -> Vec<u8> {
        let end = self.end_of_line;
        if end.is_empty() {
            self.fail(at, expected, &Found::NoLines);
        }
        loop {
            let unread = {
                let mut state = self.pipe.state();
                let found = state.said.iter().position(|&byte| byte == b'\n');
                if let Some(newline) = found {
                    let line = state.consume(newline + 1);
                    drop(state);
                    if let Some(text) = line.strip_suffix(end) {
                        return text.to_vec();
                    }
                    self.fail(at, expected, &Found::OtherEnd(&line));
                }
                state.said.len()
            };
            self.wait_for_more(at, expected, unread).await;
        }
    }

    /// Waits until the server has said more than `unread` bytes, or has closed.
    async fn changed(&self, unread: usize) {
        poll_fn(|cx| {
            let mut state = self.pipe.state();
            if state.said.len() != unread || state.closed {
                return Poll::Ready(());
            }
            state.register(cx);
            Poll::Pending
        })
        .await;
    }

    /// Waits until the server has said more than `unread` bytes, which are too few.
    async fn wait_for_more(&self, at: &Location<'_>, expected: &Expected<'_>, unread: usize) {
        let silent = timeout(PATIENCE, self.changed(unread)).await.is_err();
        let state = self.pipe.state();
        let more = state.said.len() != unread;
        let closed = state.closed && !matches!(expected, Expected::Close);
        drop(state);
        if silent {
            self.fail(at, expected, &Found::Silence);
        }
        if closed && !more {
            self.fail(at, expected, &Found::Close);
        }
    }

    #[cold]
    fn fail(&self, at: &Location<'_>, expected: &Expected<'_>, found: &Found<'_>) -> ! {
        let message = {
            let state = self.pipe.state();
            let unread = &state.said[..state.said.len().min(SHOWN_BYTES_MAX)];
            let unread = match unread.is_empty() {
                true => String::new(),
                false => format!("unread: \"{}\"\n", Shown(unread)),
            };
            format!("{at}: expected {expected}, but {found}\n{unread}{}", state.record)
        };
        panic!("{message}");
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

/// What was expected.
enum Expected<'a> {
    Line(&'a [u8]),
    Like(&'a [u8]),
    Raw(&'a [u8]),
    Nothing,
    Close,
}

impl fmt::Display for Expected<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "the line \"{}\"", Shown(line)),
            Self::Like(pattern) => write!(f, "a line like \"{}\"", Shown(pattern)),
            Self::Raw(bytes) => write!(f, "\"{}\"", Shown(bytes)),
            Self::Nothing => f.write_str("nothing"),
            Self::Close => f.write_str("the end of the connection"),
        }
    }
}

/// What there was instead.
enum Found<'a> {
    Line(&'a [u8]),
    OtherEnd(&'a [u8]),
    Said,
    Close,
    Silence,
    NoLines,
}

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "the server said \"{}\"", Shown(line)),
            Self::OtherEnd(line) => {
                write!(f, "the server said \"{}\", which ends otherwise", Shown(line))
            }
            Self::Said => f.write_str("the server said something else"),
            Self::Close => f.write_str("the server closed the connection"),
            Self::Silence => write!(f, "nothing more came for {PATIENCE:?}"),
            Self::NoLines => f.write_str("the protocol has no lines: use expect_raw"),
        }
    }
}
