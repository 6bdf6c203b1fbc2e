//! Frames of a Redis server (RESP2).

use std::ops::Range;

use memchr::memchr;

use super::{FRAME_BYTES_MAX, Frame, Scan};

/// Arrays in arrays that are followed; a server with subscribers sends none.
const DEPTH_MAX: u32 = 4;
/// The elements of `message` and `subscribe` arrays.
const ELEMENTS: usize = 3;

/// The first frame of `bytes`.
#[inline]
pub(super) fn scan(bytes: &[u8]) -> Scan<'_> {
    let mut strings = Strings::default();
    let end = match value(bytes, 0, 0, &mut strings) {
        Ok(end) => end,
        Err(Stop::Incomplete) => return Scan::Incomplete,
        Err(Stop::Malformed) => return Scan::Malformed,
    };
    let string = |at: usize| strings.of.get(at).map_or(&b""[..], |range| &bytes[range.clone()]);
    let frame = match (bytes[0], string(0)) {
        (b'*', b"message") => Frame::Message { bytes: string(2), whole: true },
        (b'*', b"subscribe") => Frame::Confirmed,
        (b'-', _) => Frame::Error(&bytes[1..end - 2]),
        _ => Frame::Other,
    };
    Scan::Frame(frame, end)
}

/// Where the first strings of an array are.
#[derive(Debug, Default)]
struct Strings {
    of: [Range<usize>; ELEMENTS],
    count: usize,
}

enum Stop {
    Incomplete,
    Malformed,
}

/// The end of the value that begins at `at`.
fn value(bytes: &[u8], at: usize, depth: u32, strings: &mut Strings) -> Result<usize, Stop> {
    let Some(kind) = bytes.get(at) else { return Err(Stop::Incomplete) };
    if !matches!(kind, b'+' | b'-' | b':' | b'$' | b'*') || depth > DEPTH_MAX {
        return Err(Stop::Malformed);
    }
    let rest = &bytes[at + 1..];
    let newline = memchr(b'\n', rest).ok_or(Stop::Incomplete)?;
    let end = at + 1 + newline + 1;
    if newline == 0 || rest[newline - 1] != b'\r' {
        return Err(Stop::Malformed);
    }
    match kind {
        b'$' => {
            let Some(len) = length(&rest[..newline - 1])? else { return Ok(end) };
            let close = bytes.get(end + len..end + len + 2).ok_or(Stop::Incomplete)?;
            if close != b"\r\n" {
                return Err(Stop::Malformed);
            }
            if let Some(range) = strings.of.get_mut(strings.count) {
                *range = end..end + len;
            }
            strings.count += 1;
            Ok(end + len + 2)
        }
        b'*' => {
            let mut end = end;
            for _ in 0..length(&rest[..newline - 1])?.unwrap_or(0) {
                end = value(bytes, end, depth + 1, strings)?;
            }
            Ok(end)
        }
        _ => Ok(end),
    }
}

/// A length; `None` for -1, the length of nothing.
fn length(digits: &[u8]) -> Result<Option<usize>, Stop> {
    if digits == b"-1" {
        return Ok(None);
    }
    let mut value = 0;
    for digit in digits {
        if !digit.is_ascii_digit() || value > FRAME_BYTES_MAX {
            return Err(Stop::Malformed);
        }
        value = value * 10 + usize::from(digit - b'0');
    }
    if digits.is_empty() || value > FRAME_BYTES_MAX {
        return Err(Stop::Malformed);
    }
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_told_apart_and_none_ends_early() {
        let message = Frame::Message { bytes: b"hello", whole: true };
        let frames: [(&str, Frame<'_>); 6] = [
            ("*3\r\n$7\r\nmessage\r\n$1\r\nt\r\n$5\r\nhello\r\n", message),
            ("*3\r\n$9\r\nsubscribe\r\n$1\r\nt\r\n:1\r\n", Frame::Confirmed),
            ("-ERR no\r\n", Frame::Error(b"ERR no")),
            (":12\r\n", Frame::Other),
            ("*-1\r\n", Frame::Other),
            ("$-1\r\n", Frame::Other),
        ];
        for (text, frame) in frames {
            assert_eq!(scan(text.as_bytes()), Scan::Frame(frame, text.len()), "{text:?}");
            for cut in 0..text.len() {
                assert_eq!(scan(&text.as_bytes()[..cut]), Scan::Incomplete, "{text:?} at {cut}");
            }
        }
    }

    #[test]
    fn what_is_no_resp_is_malformed() {
        for text in ["hello\r\n", "+x\n", "$5\r\nhellox\r\n", "$99999999\r\n", "*x\r\n", "$\r\n"] {
            assert_eq!(scan(text.as_bytes()), Scan::Malformed, "{text:?}");
        }
        assert_eq!(scan("*1\r\n".repeat(9).as_bytes()), Scan::Malformed, "too deep");
    }
}
