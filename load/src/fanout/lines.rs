//! Frames of a server that speaks lines. A message is found by its mark, wherever it stands in a line.

use memchr::{memchr, memmem};

use super::message::MARK;
use super::{Frame, Scan};

/// Finds lines and what they are.
#[derive(Debug)]
pub(crate) struct LineScanner {
    mark: memmem::Finder<'static>,
    confirm: Vec<u8>,
}

impl LineScanner {
    pub(super) fn new(confirm: &str) -> Self {
        Self { mark: memmem::Finder::new(MARK), confirm: confirm.as_bytes().to_vec() }
    }

    #[inline]
    pub(super) fn scan<'a>(&self, bytes: &'a [u8]) -> Scan<'a> {
        let Some(end) = memchr(b'\n', bytes) else { return Scan::Incomplete };
        let line = &bytes[..end];
        let frame = match self.mark.find(line) {
            Some(at) => Frame::Message { bytes: &line[at..], whole: false },
            None if line == b"ping" => Frame::Heartbeat,
            None if line.starts_with(b"ERR") => Frame::Error(line),
            None if line.starts_with(&self.confirm) => Frame::Confirmed,
            None => Frame::Other,
        };
        Scan::Frame(frame, end + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        let scanner = LineScanner::new("OK");
        let frame = |text: &'static str| match scanner.scan(text.as_bytes()) {
            Scan::Frame(frame, len) => (frame, len),
            other => panic!("{text:?}: {other:?}"),
        };
        let message = Frame::Message { bytes: b"#tl12\"}", whole: false };
        assert_eq!(frame("{\"said\":\"#tl12\"}\nrest"), (message, 17));
        assert_eq!(frame("OK 3 here\n"), (Frame::Confirmed, 10));
        assert_eq!(frame("ping\n"), (Frame::Heartbeat, 5));
        assert_eq!(frame("ERR busy\n"), (Frame::Error(b"ERR busy"), 9));
        assert_eq!(frame("JOIN u7\n"), (Frame::Other, 8));
        assert_eq!(scanner.scan(b"OK 3"), Scan::Incomplete);
    }
}
