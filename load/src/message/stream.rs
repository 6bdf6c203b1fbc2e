//! The endless stream of lines that a connection sends or expects.

use memchr::{memchr_iter, memrchr};

use super::Message;
use super::fixed::Fixed;
use super::rendered::Rendered;

/// A position in a connection's stream: `offset` bytes into line number `line`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) line: u64,
    pub(crate) offset: u32,
}

/// The bytes of a connection's stream from any position on. A connection keeps only its [`Position`].
#[derive(Debug)]
pub(crate) enum Stream {
    /// Slices of one shared block.
    Fixed(Fixed),
    /// Rendered on demand into the caller's scratch buffer.
    Rendered(Rendered),
}

impl Stream {
    pub(crate) fn new(message: &Message, seed: u64) -> Self {
        if message.is_fixed() {
            Self::Fixed(Fixed::new(message))
        } else {
            Self::Rendered(Rendered::new(message, seed))
        }
    }

    /// The bytes from `at` on: at least one, at most `want`.
    #[inline]
    pub(crate) fn window<'a>(
        &'a self,
        connection: u64,
        at: Position,
        want: usize,
        scratch: &'a mut Vec<u8>,
    ) -> &'a [u8] {
        match self {
            Self::Fixed(fixed) => fixed.window(at, want),
            Self::Rendered(rendered) => rendered.window(connection, at, want, scratch),
        }
    }

    /// The rest of the line at `at` and the lines after it, `lines` in all; or the beginning of them,
    /// about 64 KiB or more, if they are longer.
    #[inline]
    pub(crate) fn lines<'a>(
        &'a self,
        connection: u64,
        at: Position,
        lines: u64,
        scratch: &'a mut Vec<u8>,
    ) -> &'a [u8] {
        match self {
            Self::Fixed(fixed) => fixed.lines(at, lines),
            Self::Rendered(rendered) => rendered.lines(connection, at, lines, scratch),
        }
    }

    /// The position after `bytes`, which are the stream's bytes from `at` on.
    #[inline]
    pub(crate) fn advance(&self, at: Position, bytes: &[u8]) -> Position {
        match self {
            Self::Fixed(fixed) if fixed.is_one_line() => fixed.advance(at, bytes.len()),
            _ => advance_by_newlines(at, bytes),
        }
    }

    /// Whether `bytes` are line number `line` of a connection.
    pub(crate) fn is_line(
        &self,
        connection: u64,
        line: u64,
        bytes: &[u8],
        scratch: &mut Vec<u8>,
    ) -> bool {
        self.lines(connection, Position { line, offset: 0 }, 1, scratch) == bytes
    }
}

/// The position after `bytes`, found by their newlines.
pub(crate) fn advance_by_newlines(at: Position, bytes: &[u8]) -> Position {
    match memrchr(b'\n', bytes) {
        None => Position { line: at.line, offset: at.offset + bytes.len() as u32 },
        Some(last) => Position {
            line: at.line + memchr_iter(b'\n', bytes).count() as u64,
            offset: (bytes.len() - last - 1) as u32,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stream rendered line by line, as a reference.
    fn reference(text: &str, lines: u64) -> Vec<u8> {
        let message = Message::parse(text).unwrap();
        let mut out = Vec::new();
        for line in 0..lines {
            let parts = &message.lines[line as usize % message.lines.len()];
            super::super::rendered::render(parts, 7, line, 42, &mut out);
        }
        out
    }

    #[test]
    fn windows_of_any_size_join_into_the_stream() {
        for text in ["ping\\n", "a\\nbcd\\n\\n", "x{conn}-{seq}\\n", "{rand:9}\\nfoo\\n"] {
            let expected = reference(text, 3000);
            let stream = Stream::new(&Message::parse(text).unwrap(), 42);
            let (mut at, mut seen, mut scratch) = (Position::default(), Vec::new(), Vec::new());
            for want in (1..).map(|i| 1 + i * 37 % 301) {
                let window = stream.window(7, at, want, &mut scratch).to_vec();
                assert!(!window.is_empty() && window.len() <= want);
                at = stream.advance(at, &window);
                seen.extend(window);
                if seen.len() >= expected.len() {
                    break;
                }
            }
            assert_eq!(seen[..expected.len()], expected[..], "{text}");
        }
    }

    #[test]
    fn whole_lines_end_where_asked() {
        for text in ["ping\\n", "a\\nbcd\\n\\n", "x{conn}-{seq}\\n"] {
            let stream = Stream::new(&Message::parse(text).unwrap(), 42);
            let mut scratch = Vec::new();
            let all = stream.lines(7, Position::default(), 10, &mut scratch).to_vec();
            assert_eq!(all, reference(text, 10), "{text}");
            let begun = stream.advance(Position::default(), &all[..1]);
            assert_eq!(stream.lines(7, begun, 10 - begun.line, &mut scratch), &all[1..], "{text}");
            assert_eq!(stream.advance(Position::default(), &all).line, 10);
        }
    }
}
