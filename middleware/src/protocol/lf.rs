mod scan;

use bytes::{BufMut, BytesMut};
use memchr::memchr;

use self::scan::{count, find_last, first_lines};
use super::{
    Delimited, FrameError, FrameLimits, Notice, Protocol,
    one_line::{self, put_text},
};
use crate::{reply::Replies, swar};

/// Lines that end in `\n`. A `\r` in front of it belongs to the line, and every other byte is opaque.
///
/// *Costs*: two SIMD passes over each byte of a batch, no work a line, and at most five passes whatever
/// lines and limits are. Bytes without a newline are scanned once.
///
/// ```
/// use towline_middleware::protocol::{FrameError, FrameLimits, Lf, Protocol};
///
/// let limits = FrameLimits::new(8);
/// let mut read: &[u8] = b"one\ntwo\nthr";
/// let found = Lf::delimit(read, &limits).unwrap();
/// assert_eq!((found.whole, found.frames, found.scanned), (8, 2, 3));
/// assert_eq!((Lf::next(&mut read), read), (&b"one"[..], &b"two\nthr"[..]));
/// assert_eq!(Lf::delimit(b"a long line", &limits), Err(FrameError::TooLong { limit_bytes: 8 }));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lf {}

impl Protocol for Lf {
    type Frame<'a> = &'a [u8];
    const REFUSES_TLS: bool = true;

    fn delimit(bytes: &[u8], limits: &FrameLimits) -> Result<Delimited, FrameError> {
        let limit_bytes = limits.frame_bytes;
        let Some(cut) = first_lines(&bytes[limits.scanned..], limits.frames as usize) else {
            if bytes.len() > limit_bytes {
                return Err(FrameError::TooLong { limit_bytes });
            }
            return Ok(Delimited { scanned: bytes.len(), ..Delimited::default() });
        };
        let end = limits.scanned + cut.end;
        let (whole, lines) = match first_too_long(&bytes[..end], limit_bytes) {
            None => (end, cut.lines),
            Some(0) => return Err(FrameError::TooLong { limit_bytes }),
            Some(start) => (start, count(&bytes[..start])),
        };
        // The rest begins with the line that is too long, or with lines not examined, or holds no newline.
        let scanned = if whole == end && cut.all { bytes.len() - whole } else { 0 };
        Ok(Delimited { whole, frames: lines as u32, scanned, wanted: 0 })
    }

    // Called once a line; the compiler would emit a call for it.
    #[inline(always)]
    fn next<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
        let all = *bytes;
        // Most lines are shorter than the setup of a search.
        let end = swar::position(swar::load(all), b'\n').or_else(|| memchr(b'\n', all));
        let (line, rest) = all.split_at(end.unwrap_or(all.len()));
        *bytes = rest.get(1..).unwrap_or_default();
        line
    }

    fn notice(notice: &Notice<'_>, out: &mut BytesMut) {
        match notice {
            Notice::Ping => out.put_slice(b"ping\n"),
            Notice::TooLong { .. } => out.put_slice(b"ERR line too long\n"),
            Notice::Malformed(why) => error(&["malformed: ", why], out),
            Notice::Timeout => out.put_slice(b"ERR timeout\n"),
            Notice::Overloaded => out.put_slice(b"ERR overloaded\n"),
            Notice::ReplyError(error) => Self::error(error, out),
            Notice::TooManyConnections => out.put_slice(b"ERR too many connections\n"),
            Notice::TooManyFromAddress => {
                out.put_slice(b"ERR too many connections from your address\n");
            }
            Notice::Refused(why) => error(&[why], out),
            Notice::TooSlow => out.put_slice(b"ERR too slow\n"),
            // The end of the connection says it.
            Notice::Draining => {}
        }
    }

    #[inline]
    fn is_pong(line: &[u8]) -> bool {
        line == b"pong"
    }

    #[inline]
    fn is_one_frame(bytes: &[u8], frame_bytes: usize) -> bool {
        bytes.len().saturating_sub(1) <= frame_bytes && is_one_line(bytes)
    }
}

/// Whether the first newline is the last byte. A plain loop, which for few bytes is done sooner than a search
/// that needs setup.
#[inline]
fn is_one_line(bytes: &[u8]) -> bool {
    let mut at = 0;
    while at < bytes.len() && bytes[at] != b'\n' {
        at += 1;
    }
    at + 1 == bytes.len()
}

/// Where the first line begins that is longer than `limit_bytes`, in `terminated` lines.
///
/// From the start of a line the next `limit + 1` bytes must hold a newline; the last one in that window
/// ends a line too, and the next window starts behind it. So only batches in which a line *could* be too
/// long are examined, and then once per limit's length, not once a line.
fn first_too_long(terminated: &[u8], limit_bytes: usize) -> Option<usize> {
    let window = limit_bytes.saturating_add(1);
    let mut start = 0;
    while terminated.len() - start > window {
        match find_last(&terminated[start..start + window]) {
            Some(at) => start += at + 1,
            None => return Some(start),
        }
    }
    None
}

/// Appends one line `ERR …`.
fn error(texts: &[&str], out: &mut BytesMut) {
    out.put_slice(b"ERR ");
    texts.iter().for_each(|text| put_text(text.as_bytes(), one_line::LF, out));
    out.put_u8(b'\n');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(notice: Notice<'_>) -> String {
        let mut out = BytesMut::new();
        Lf::notice(&notice, &mut out);
        String::from_utf8(out.to_vec()).expect("notices are text")
    }

    #[test]
    fn notices_are_the_lines_that_the_protocol_document_promises() {
        assert_eq!(said(Notice::Ping), "ping\n");
        assert_eq!(said(Notice::TooLong { limit_bytes: 9 }), "ERR line too long\n");
        assert_eq!(said(Notice::Timeout), "ERR timeout\n");
        assert_eq!(said(Notice::Overloaded), "ERR overloaded\n");
        assert_eq!(said(Notice::TooManyConnections), "ERR too many connections\n");
        let from_address = said(Notice::TooManyFromAddress);
        assert_eq!(from_address, "ERR too many connections from your address\n");
        assert_eq!(said(Notice::Draining), "");
    }

    #[test]
    fn a_newline_in_a_reason_ends_no_line() {
        assert_eq!(said(Notice::Refused("not\nnow")), "ERR not now\n");
        assert_eq!(said(Notice::Malformed("a\nb")), "ERR malformed: a b\n");
    }

    #[test]
    fn next_takes_what_there_is_of_bytes_that_are_no_lines() {
        let mut rest: &[u8] = b"a\n\nb";
        assert_eq!(Lf::next(&mut rest), b"a");
        assert_eq!(Lf::next(&mut rest), b"");
        assert_eq!((Lf::next(&mut rest), rest), (&b"b"[..], &b""[..]));
        assert_eq!(Lf::next(&mut rest), b"");
    }

    /// Cuts `bytes` at `cuts` into reads, as a codec sees them, into the lines that it delivers and how it
    /// ends.
    fn lines_of(bytes: &[u8], cuts: &[usize], frames: u32) -> (Vec<Vec<u8>>, Option<FrameError>) {
        let (mut lines, mut start, mut scanned) = (Vec::new(), 0, 0);
        for &end in cuts.iter().chain([&bytes.len()]).filter(|&&end| end <= bytes.len()) {
            loop {
                let read = &bytes[start..end.max(start)];
                let limits = FrameLimits { frame_bytes: 5, frames, scanned };
                let found = match Lf::delimit(read, &limits) {
                    Ok(found) => found,
                    Err(error) => return (lines, Some(error)),
                };
                let mut whole = &read[..found.whole];
                for _ in 0..found.frames {
                    lines.push(Lf::next(&mut whole).to_vec());
                }
                assert!(whole.is_empty() && found.frames <= frames, "{found:?} of {read:?}");
                assert!(!read[found.whole..][..found.scanned].contains(&b'\n'), "{found:?}");
                (start, scanned) = (start + found.whole, found.scanned);
                if found.frames == 0 {
                    break;
                }
            }
        }
        (lines, None)
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_the_cuts_of_reads_and_batches(
            bytes in prop::collection::vec(prop_oneof![2 => Just(b'\n'), 5 => Just(b'x')], 0..60),
            mut cuts in prop::collection::vec(0_usize..60, 0..8),
            frames in 1_u32..100,
        ) {
            cuts.sort_unstable();
            let expected: Vec<_> = bytes
                .split_inclusive(|&byte| byte == b'\n')
                .filter_map(|line| line.strip_suffix(b"\n"))
                .take_while(|line| line.len() <= 5)
                .map(<[u8]>::to_vec)
                .collect();
            let longest = bytes.split(|&byte| byte == b'\n').map(<[u8]>::len).max();
            let error = (longest > Some(5)).then_some(FrameError::TooLong { limit_bytes: 5 });
            prop_assert_eq!(lines_of(&bytes, &cuts, frames), (expected, error));
        }

        #[test]
        fn the_short_way_finds_what_the_long_one_finds(
            bytes in prop::collection::vec(prop_oneof![1 => Just(b'\n'), 9 => Just(b'x')], 1..33),
            frame_bytes in 0_usize..40,
        ) {
            let found = Lf::delimit(&bytes, &FrameLimits::new(frame_bytes));
            let one = matches!(found, Ok(Delimited { whole, frames: 1, .. }) if whole == bytes.len());
            prop_assert_eq!(Lf::is_one_frame(&bytes, frame_bytes), one);
        }
    }
}
