use bytes::BytesMut;
use memchr::memchr;

use super::{
    Delimited, FrameError, FrameLimits, Notice, Protocol,
    each::{First, delimit_each, put_line},
};
use crate::reply::Replies;

/// Lines that end in `\n` or `\r\n`: for IRC, memcached's commands, telnet.
///
/// *Accepts*: any bytes; a frame is the line without its end. Of `\r\r\n` one `\r` belongs to the line, and so
/// does a `\r` that no `\n` follows. *Refuses*: only lines that are too long. *Writes*: the notices of
/// [`Lf`](super::Lf), ended by `\r\n`. *Costs*: two SIMD searches a line, one to find its end and one to take
/// it off; bytes without a newline are scanned once.
///
/// A program behind another parser of the same bytes should take [`CrLf`](super::CrLf): two parsers that
/// disagree on what ends a line let a peer smuggle lines past one of them.
///
/// ```
/// use towline_middleware::{Batch, protocol::AnyEol};
///
/// let batch = Batch::<AnyEol>::new("NICK ann\r\nJOIN #here\n").unwrap();
/// assert!(batch.frames().eq([&b"NICK ann"[..], b"JOIN #here"]));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnyEol {}

/// A line at the front of some bytes.
pub(super) struct FirstLine<'a> {
    /// Without its end.
    pub(super) line: &'a [u8],
    /// With its end.
    pub(super) whole: usize,
}

/// Finds the first line, or returns `None` if its end is missing.
///
/// # Errors
/// When the line is longer than `limit_bytes`, whole or not.
#[inline]
pub(super) fn first_line(
    bytes: &[u8],
    scanned: usize,
    limit_bytes: usize,
) -> Result<Option<FirstLine<'_>>, FrameError> {
    let end = memchr(b'\n', &bytes[scanned..]).map(|at| scanned + at);
    let line = &bytes[..end.unwrap_or(bytes.len())];
    // A `\r` at the end of what was read may be the first half of the line's end.
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() > limit_bytes {
        return Err(FrameError::TooLong { limit_bytes });
    }
    Ok(end.map(|at| FirstLine { line, whole: at + 1 }))
}

/// Takes the first line off, or everything if no line ends.
#[inline]
pub(super) fn next_line<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let all = *bytes;
    let end = memchr(b'\n', all).unwrap_or(all.len());
    *bytes = all.get(end + 1..).unwrap_or_default();
    let line = &all[..end];
    line.strip_suffix(b"\r").unwrap_or(line)
}

impl Protocol for AnyEol {
    type Frame<'a> = &'a [u8];
    const REFUSES_TLS: bool = true;

    fn delimit(bytes: &[u8], limits: &FrameLimits) -> Result<Delimited, FrameError> {
        delimit_each(bytes, limits, |bytes, scanned| {
            let first = first_line(bytes, scanned, limits.frame_bytes)?;
            let unfinished = First::Unfinished { scanned: bytes.len(), wanted: 0 };
            Ok(first.map_or(unfinished, |first| First::Whole(first.whole)))
        })
    }

    #[inline]
    fn next<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
        next_line(bytes)
    }

    fn notice(notice: &Notice<'_>, out: &mut BytesMut) {
        let texts: &[&str] = match notice {
            Notice::Ping => &["ping"],
            Notice::TooLong { .. } => &["ERR line too long"],
            Notice::Malformed(why) => &["ERR malformed: ", why],
            Notice::Timeout => &["ERR timeout"],
            Notice::Overloaded => &["ERR overloaded"],
            Notice::ReplyError(error) => return Self::error(error, out),
            Notice::TooManyConnections => &["ERR too many connections"],
            Notice::TooManyFromAddress => &["ERR too many connections from your address"],
            Notice::Refused(why) => &["ERR ", why],
            Notice::TooSlow => &["ERR too slow"],
            // The end of the connection says it.
            Notice::Draining => return,
        };
        put_line(texts, out);
    }

    #[inline]
    fn is_pong(line: &[u8]) -> bool {
        line == b"pong"
    }
}
