use bytes::BytesMut;
use memchr::{memchr, memchr2};

use super::{
    Delimited, FrameError, FrameLimits, Notice, Protocol,
    each::{First, delimit_each, put_line},
};
use crate::reply::Replies;

/// Lines that end in `\r\n` and in nothing else: for SMTP and FTP.
///
/// *Accepts*: any bytes but `\r` and `\n` in a line; a frame is the line without its end. *Refuses*: a `\n`
/// without a `\r` in front, and a `\r` without a `\n` behind, as malformed. A parser that took either for the
/// end of a line, behind another one that does not, would let a peer smuggle lines past that other one.
/// [`AnyEol`](super::AnyEol) takes both. *Writes*: notices with the reply codes of SMTP and FTP, such as
/// `421 too many connections`; it has no ping. *Costs*: two SIMD searches a line, one to find its end and one
/// to take it off; bytes without an end of line are scanned once.
///
/// ```
/// use towline_middleware::protocol::{CrLf, FrameError, FrameLimits, Protocol};
///
/// let limits = FrameLimits::new(512);
/// let mut read: &[u8] = b"HELO here\r\nQUIT\r\n";
/// assert_eq!(CrLf::delimit(read, &limits).unwrap().frames, 2);
/// assert_eq!(CrLf::next(&mut read), b"HELO here");
/// let error = CrLf::delimit(b"one\ntwo\r\n", &limits);
/// assert_eq!(error, Err(FrameError::Malformed("bare line feed")));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrLf {}

fn first(bytes: &[u8], scanned: usize, limit_bytes: usize) -> Result<First, FrameError> {
    let at = memchr2(b'\r', b'\n', &bytes[scanned..]).map(|at| scanned + at);
    // Before what ends the line is examined: the answer must be the same when that is not there yet.
    if at.unwrap_or(bytes.len()) > limit_bytes {
        return Err(FrameError::TooLong { limit_bytes });
    }
    let Some(at) = at else { return Ok(First::Unfinished { scanned: bytes.len(), wanted: 0 }) };
    match bytes[at..] {
        [b'\r'] => Ok(First::Unfinished { scanned: at, wanted: 1 }),
        [b'\r', b'\n', ..] => Ok(First::Whole(at + 2)),
        [b'\r', ..] => Err(FrameError::Malformed("bare carriage return")),
        _ => Err(FrameError::Malformed("bare line feed")),
    }
}

impl Protocol for CrLf {
    type Frame<'a> = &'a [u8];
    const REFUSES_TLS: bool = true;

    fn delimit(bytes: &[u8], limits: &FrameLimits) -> Result<Delimited, FrameError> {
        delimit_each(bytes, limits, |bytes, scanned| first(bytes, scanned, limits.frame_bytes))
    }

    #[inline]
    fn next<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
        let all = *bytes;
        let end = memchr(b'\r', all).unwrap_or(all.len());
        *bytes = all.get(end + 2..).unwrap_or_default();
        &all[..end]
    }

    fn notice(notice: &Notice<'_>, out: &mut BytesMut) {
        let texts: &[&str] = match notice {
            // No client of these protocols expects to be asked.
            Notice::Ping => return,
            Notice::TooLong { .. } => &["500 line too long"],
            Notice::Malformed(why) => &["500 malformed: ", why],
            Notice::Timeout => &["451 timeout"],
            Notice::Overloaded => &["451 overloaded"],
            Notice::ReplyError(error) => return Self::error(error, out),
            Notice::TooManyConnections => &["421 too many connections"],
            Notice::TooManyFromAddress => &["421 too many connections from your address"],
            Notice::Refused(why) => &["554 ", why],
            Notice::TooSlow => &["421 too slow"],
            Notice::Draining => &["421 closing"],
        };
        put_line(texts, out);
    }
}
