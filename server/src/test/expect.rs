//! What a test expects of the server.

use std::{
    fmt,
    future::{Future, poll_fn},
    panic::Location,
    task::Poll,
    time::Duration,
};

use tokio::time::timeout;
use towline_middleware::stats::CloseReason;

use super::{
    client::{Client, Ending},
    glob,
    record::Shown,
};

/// Time without anything new after which what is waited for does not come any more.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes of unread text that a message shows.
const SHOWN_BYTES_MAX: usize = 200;

/// Where an expectation stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    /// In a test.
    Code(&'static Location<'static>),
    /// In a transcript: the number of the line, and its text.
    Line(usize, &'a str),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(location) => location.fmt(f),
            Self::Line(number, text) => write!(f, "line {number} of the transcript, `{text}`"),
        }
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
        let (at, line) = (Place::Code(Location::caller()), line.as_ref().to_vec());
        async move { self.take_this_line(at, &line).await }
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
        let (at, pattern) = (Place::Code(Location::caller()), pattern.as_ref().to_vec());
        async move { self.take_line_like(at, &pattern).await }
    }

    /// Expects exactly `bytes` next, and takes them.
    ///
    /// # Panics
    /// If the server says something else, closes, or says nothing more for 20 seconds.
    #[track_caller]
    pub fn expect_raw(&mut self, bytes: impl AsRef<[u8]>) -> impl Future<Output = ()> + Send {
        let (at, bytes) = (Place::Code(Location::caller()), bytes.as_ref().to_vec());
        async move { self.take_bytes(at, &bytes).await }
    }

    /// Expects the server to say nothing and to leave the connection open for `time`.
    ///
    /// # Panics
    /// If it says something or closes; if it has said something before that was not expected.
    #[track_caller]
    pub fn expect_nothing(&mut self, time: Duration) -> impl Future<Output = ()> + Send {
        let at = Place::Code(Location::caller());
        async move { self.is_silent(at, time).await }
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
        let at = Place::Code(Location::caller());
        async move { self.end(at).await }
    }
}

/// The same, for an expectation that stands anywhere.
impl Client {
    pub(super) async fn take_this_line(&mut self, at: Place<'_>, line: &[u8]) {
        let expected = Expected::Line(line);
        let said = self.take_line(at, &expected).await;
        if said != line {
            self.fail(at, &expected, &Found::Line(&said));
        }
    }

    pub(super) async fn take_line_like(&mut self, at: Place<'_>, pattern: &[u8]) -> String {
        let expected = Expected::Like(pattern);
        let said = self.take_line(at, &expected).await;
        if !glob::matches(pattern, &said) {
            self.fail(at, &expected, &Found::Line(&said));
        }
        String::from_utf8_lossy(&said).into_owned()
    }

    pub(super) async fn take_bytes(&mut self, at: Place<'_>, bytes: &[u8]) {
        let expected = Expected::Raw(bytes);
        loop {
            let (there, same) = {
                let mut state = self.pipe.state();
                let there = state.said.len().min(bytes.len());
                let same = state.said[..there] == bytes[..there];
                if same && there == bytes.len() {
                    state.consume(there);
                    return;
                }
                (there, same)
            };
            if !same {
                self.fail(at, &expected, &Found::Said);
            }
            self.wait_for_more(at, &expected, there).await;
        }
    }

    pub(super) async fn is_silent(&mut self, at: Place<'_>, time: Duration) {
        if timeout(time, self.changed(0)).await.is_ok() {
            let silent = self.pipe.state().said.is_empty();
            self.fail(at, &Expected::Nothing, if silent { &Found::Close } else { &Found::Said });
        }
    }

    pub(super) async fn end(&mut self, at: Place<'_>) -> CloseReason {
        if let Ending::Known(reason) = self.ending {
            return reason;
        }
        loop {
            let (closed, unread) = {
                let state = self.pipe.state();
                (state.closed, state.said.len())
            };
            if unread > 0 {
                self.fail(at, &Expected::Close, &Found::Said);
            }
            if closed {
                break;
            }
            self.wait_for_more(at, &Expected::Close, unread).await;
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

impl Client {
    /// Takes the next line off, without its end.
    async fn take_line(&mut self, at: Place<'_>, expected: &Expected<'_>) -> Vec<u8> {
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
    pub(super) async fn changed(&self, unread: usize) {
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
    async fn wait_for_more(&self, at: Place<'_>, expected: &Expected<'_>, unread: usize) {
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
    pub(super) fn fail(&self, at: Place<'_>, expected: &Expected<'_>, found: &Found<'_>) -> ! {
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

/// What was expected.
pub(super) enum Expected<'a> {
    Line(&'a [u8]),
    Like(&'a [u8]),
    Raw(&'a [u8]),
    Nothing,
    /// At the end of a transcript.
    NoMore,
    Close,
    Reason(CloseReason),
}

impl fmt::Display for Expected<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "the line \"{}\"", Shown(line)),
            Self::Like(pattern) => write!(f, "a line like \"{}\"", Shown(pattern)),
            Self::Raw(bytes) => write!(f, "\"{}\"", Shown(bytes)),
            Self::Nothing => f.write_str("nothing"),
            Self::NoMore => f.write_str("nothing more behind this line"),
            Self::Close => f.write_str("the end of the connection"),
            Self::Reason(reason) => write!(f, "the end of the connection, {}", reason.label()),
        }
    }
}

/// What there was instead.
pub(super) enum Found<'a> {
    Line(&'a [u8]),
    OtherEnd(&'a [u8]),
    Said,
    Close,
    Silence,
    NoLines,
    Reason(CloseReason),
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
            Self::Reason(reason) => write!(f, "it ended otherwise: {}", reason.label()),
            Self::NoLines => f.write_str("the protocol has no lines: use expect_raw"),
        }
    }
}
