//! Frames of a NATS server.

use memchr::memchr;

use super::{FRAME_BYTES_MAX, Frame, Scan};

/// The first frame of `bytes`.
#[inline]
pub(super) fn scan(bytes: &[u8]) -> Scan<'_> {
    let Some(newline) = memchr(b'\n', bytes) else { return Scan::Incomplete };
    let (end, line) = (newline + 1, bytes[..newline].trim_ascii_end());
    let frame = match line.split(u8::is_ascii_whitespace).next().unwrap_or_default() {
        b"MSG" => return message(bytes, line, end),
        b"PING" => Frame::Heartbeat,
        b"PONG" => Frame::Confirmed,
        b"-ERR" => Frame::Error(line),
        b"INFO" | b"+OK" => Frame::Other,
        _ => return Scan::Malformed,
    };
    Scan::Frame(frame, end)
}

/// `MSG subject sid [reply-to] length`, and as many bytes.
fn message<'a>(bytes: &'a [u8], line: &[u8], end: usize) -> Scan<'a> {
    let digits = line.rsplit(u8::is_ascii_whitespace).next().unwrap_or_default();
    let len = std::str::from_utf8(digits).ok().and_then(|text| text.parse::<usize>().ok());
    let Some(len) = len.filter(|len| *len <= FRAME_BYTES_MAX) else { return Scan::Malformed };
    match bytes.get(end..end + len + 2) {
        None => Scan::Incomplete,
        Some(body) if body.ends_with(b"\r\n") => {
            Scan::Frame(Frame::Message { bytes: &body[..len], whole: true }, end + len + 2)
        }
        Some(_) => Scan::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_told_apart_and_none_ends_early() {
        let frames: [(&str, Frame<'_>); 6] = [
            ("MSG t 1 5\r\nhello\r\n", Frame::Message { bytes: b"hello", whole: true }),
            ("INFO {\"max_payload\":1}\r\n", Frame::Other),
            ("PING\r\n", Frame::Heartbeat),
            ("PONG\r\n", Frame::Confirmed),
            ("+OK\r\n", Frame::Other),
            ("-ERR 'Slow Consumer'\r\n", Frame::Error(b"-ERR 'Slow Consumer'")),
        ];
        for (text, frame) in frames {
            assert_eq!(scan(text.as_bytes()), Scan::Frame(frame, text.len()), "{text:?}");
            for cut in 0..text.len() {
                assert_eq!(scan(&text.as_bytes()[..cut]), Scan::Incomplete, "{text:?} at {cut}");
            }
        }
    }

    #[test]
    fn what_is_no_nats_is_malformed() {
        for text in ["hello\r\n", "MSG t 1 x\r\n", "MSG t 1 2\r\nabcd", "MSG t 1 99999999\r\n"] {
            assert_eq!(scan(text.as_bytes()), Scan::Malformed, "{text:?}");
        }
    }
}
