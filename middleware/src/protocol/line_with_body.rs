use std::marker::PhantomData;

use bytes::BytesMut;

use super::{
    AnyEol, Delimited, FrameError, FrameLimits, Notice, Protocol,
    any_eol::{FirstLine, first_line, next_line},
    each::{First, delimit_each},
};
use crate::reply::{Replies, ReplyError};

/// Lines of which some announce a body: memcached's `set`, NATS' `PUB`, beanstalkd's `put`.
///
/// `H` says by the line whether a body follows and how long it is. A body of any bytes follows its line, and
/// ends like it: in `\r\n`, or in `\n`.
///
/// In a [`Router`](crate::router::Router) the words of the line are a command, and
/// [`Args::body`](crate::reply::Args::body) is its body.
///
/// *Accepts*: a frame is the line without its end, and the body without its end if there is one.
/// *Refuses*: lines that `H` refuses; a body that does not end where its line says; line and body of
/// together more than [`FrameLimits::frame_bytes`], as soon as the line was read. *Writes*: what
/// [`Head::notice`] says. *Costs*: two SIMD searches a line and two calls of [`Head::body_bytes`]; bodies are
/// not scanned.
///
/// ```
/// use towline_middleware::{Batch, protocol::{Head, LineWithBody}};
///
/// /// `put KEY BYTES`, and lines without a body.
/// enum Store {}
///
/// impl Head for Store {
///     fn body_bytes(line: &[u8]) -> Result<Option<usize>, &'static str> {
///         if !line.starts_with(b"put ") {
///             return Ok(None);
///         }
///         let digits = line.rsplit(|&byte| byte == b' ').next().unwrap_or_default();
///         let bytes = str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
///         bytes.map(Some).ok_or("expected a length")
///     }
/// }
///
/// let batch = Batch::<LineWithBody<Store>>::new("put k 5\r\na\r\nbc\r\nget k\r\n").unwrap();
/// let frames: Vec<_> = batch.frames().collect();
/// assert_eq!(frames, [(&b"put k 5"[..], Some(&b"a\r\nbc"[..])), (b"get k", None)]);
/// ```
#[derive(Debug)]
pub struct LineWithBody<H: Head>(PhantomData<fn() -> H>);

/// What the lines of a [`LineWithBody`] announce.
pub trait Head: Send + Sync + 'static {
    /// Length in bytes of the body that follows `line`, or `None` if none does. Must depend on nothing but
    /// `line`, because it is asked more than once.
    ///
    /// # Errors
    /// When `line` announces a body and does not say how long it is: the rest cannot be told apart from
    /// lines then. Ends the connection with [`Notice::Malformed`].
    fn body_bytes(line: &[u8]) -> Result<Option<usize>, &'static str>;

    /// The line that says that a command failed. Default: `ERR` or the kind of the error, and its text.
    ///
    /// ```
    /// use towline_middleware::{protocol::Head, reply::ReplyError};
    ///
    /// /// What NATS sends: `PUB SUBJECT [REPLY-TO] BYTES` has a payload.
    /// enum Nats {}
    ///
    /// impl Head for Nats {
    ///     fn body_bytes(line: &[u8]) -> Result<Option<usize>, &'static str> {
    ///         let Some(args) = line.strip_prefix(b"PUB ") else { return Ok(None) };
    ///         let digits = args.rsplit(|&byte| byte == b' ').next().unwrap_or_default();
    ///         let bytes = str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    ///         bytes.map(Some).ok_or("expected a length")
    ///     }
    ///
    ///     fn error_text(error: &ReplyError) -> String {
    ///         format!("-ERR '{}'", error.text())
    ///     }
    /// }
    ///
    /// assert_eq!(Nats::error_text(&ReplyError::new("Invalid Subject")), "-ERR 'Invalid Subject'");
    /// ```
    fn error_text(error: &ReplyError) -> String {
        error.to_string()
    }

    /// Appends what the server says by itself. Default: the words of [`AnyEol`], without a ping.
    fn notice(notice: &Notice<'_>, out: &mut BytesMut) {
        if *notice != Notice::Ping {
            AnyEol::notice(notice, out);
        }
    }
}

impl<H: Head> LineWithBody<H> {
    fn first(bytes: &[u8], scanned: usize, limit_bytes: usize) -> Result<First, FrameError> {
        let Some(FirstLine { line, whole }) = first_line(bytes, scanned, limit_bytes)? else {
            return Ok(First::Unfinished { scanned: bytes.len(), wanted: 0 });
        };
        let Some(body) = H::body_bytes(line).map_err(FrameError::Malformed)? else {
            return Ok(First::Whole(whole));
        };
        if body > limit_bytes - line.len() {
            return Err(FrameError::TooLong { limit_bytes });
        }
        let eol = &bytes[line.len()..whole];
        let body_end = whole.saturating_add(body);
        let end = body_end.saturating_add(eol.len());
        if bytes.len() < end {
            // The line's own end is found again at once from there.
            return Ok(First::Unfinished { scanned: whole - 1, wanted: end - bytes.len() });
        }
        if &bytes[body_end..end] != eol {
            return Err(FrameError::Malformed("expected the end of the body"));
        }
        Ok(First::Whole(end))
    }
}

impl<H: Head> Protocol for LineWithBody<H> {
    type Frame<'a> = (&'a [u8], Option<&'a [u8]>);
    const REFUSES_TLS: bool = true;

    fn delimit(bytes: &[u8], limits: &FrameLimits) -> Result<Delimited, FrameError> {
        delimit_each(bytes, limits, |bytes, scanned| {
            Self::first(bytes, scanned, limits.frame_bytes)
        })
    }

    #[inline]
    fn next<'a>(bytes: &mut &'a [u8]) -> Self::Frame<'a> {
        let all = *bytes;
        let line = next_line(bytes);
        let Ok(Some(len)) = H::body_bytes(line) else { return (line, None) };
        let eol_bytes = all.len() - bytes.len() - line.len();
        let (body, rest) = bytes.split_at(len.min(bytes.len()));
        *bytes = rest.get(eol_bytes..).unwrap_or_default();
        (line, Some(body))
    }

    fn notice(notice: &Notice<'_>, out: &mut BytesMut) {
        match notice {
            Notice::ReplyError(error) => Self::error(error, out),
            _ => H::notice(notice, out),
        }
    }
}
